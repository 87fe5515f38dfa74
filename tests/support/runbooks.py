"""The runbooks, by their sections."""

from collections.abc import Iterator

from support.helm import ROOT

RUNBOOKS = ROOT / "docs" / "runbooks"


def sections() -> Iterator[tuple[str, str, str]]:
    """(page, alert, text) of every section about an alert."""
    for page in sorted(RUNBOOKS.glob("*.md")):
        for section in page.read_text(encoding="utf-8").split("\n## ")[1:]:
            heading, _, text = section.partition("\n")
            if heading.startswith("Holdfast"):
                yield page.name, heading, text
