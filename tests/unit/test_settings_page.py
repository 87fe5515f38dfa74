"""docs/settings.md says what settings.py does: every variable, with its default, and no variable that does not exist."""

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from holdfast.settings import Settings

ROOT = Path(__file__).parents[2]
DERIVED = {"HOLDFAST_HTTP__INTERNAL_PORT": "port + 1000"}  # computed from another setting when not set


def _defaults() -> dict[str, str]:
    """Variable -> its default as the page shows it."""
    return {
        (name := f"HOLDFAST_{group}__{setting}".upper()): DERIVED.get(name) or _shown(field.default)
        for group, holder in Settings.model_fields.items()
        if isinstance(holder.annotation, type) and issubclass(holder.annotation, BaseModel)
        for setting, field in holder.annotation.model_fields.items()
    }


def _shown(default: Any) -> str:
    return "none" if default is None or default == () else f"`{default}`"


def test_every_setting_is_documented_with_its_default() -> None:
    """An operator reads the page, not the source."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(HOLDFAST_\w+)` \| (.+?) \| .+ \|$", page, re.MULTILINE))
    assert documented == _defaults()
    assert "| `INSTANCE_ID` |" in page


def test_no_page_names_a_setting_that_does_not_exist() -> None:
    """An unknown variable ends the start: a page that names one costs its reader an hour."""
    known = _defaults().keys()
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(r"\bHOLDFAST_[A-Z]+__[A-Z_]+[A-Z]", page.read_text(encoding="utf-8")):
            assert name.removesuffix("_FILE") in known or name in known, f"{page.name}: {name}"
