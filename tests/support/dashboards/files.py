"""Which dashboards there are, where they lie, and their text."""

import json

from support.dashboards import dependencies, instance, overview, probe
from support.dashboards.panels import Dashboard
from support.helm import CHART

DIRECTORY = CHART / "dashboards"
DASHBOARDS = (overview.DASHBOARD, instance.DASHBOARD, dependencies.DASHBOARD, probe.DASHBOARD)


def text(dashboard: Dashboard) -> str:
    """As it stands in its file."""
    return json.dumps(dashboard.as_json(), indent=1, ensure_ascii=False) + "\n"
