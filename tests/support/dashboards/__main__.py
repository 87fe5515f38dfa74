"""Write all dashboards again."""

from support.dashboards.files import DASHBOARDS, DIRECTORY, text

DIRECTORY.mkdir(exist_ok=True)
for each in DASHBOARDS:
    (DIRECTORY / f"{each.name}.json").write_text(text(each), encoding="utf-8")
