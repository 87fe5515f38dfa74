"""Prose is plain technical English: the subject of a sentence is a thing, and a sentence of the documentation is short."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_VERB = r"(?:is|are|was|were|has|have|had|does|do|did|may|can|could|will|would|must|cannot|[a-z]+s)\b"
_FORBIDDEN = re.compile(
    r"\b(?:whoever|whomever|somebody|someone|anybody|anyone|nobody|no one)\b"
    r"|\b(?:those|one|he|all|they) who\b"
    rf"|(?:^[ ]*(?:\"\"\"|# |\| )?|[.;:(] |\b(?:and|or|but|than|to|of|for|by|from|that|if) )who {_VERB}(?![^.\n]*\?)"
    rf"|(?:^[ ]*(?:\"\"\"|# |\| )|[.;] |[:,] (?=what (?:is|was|are|has) not?\b))what {_VERB}(?![^.\n]*\?)",
    re.IGNORECASE | re.MULTILINE,
)
"""Words and clauses without a named subject ("whoever asks", "who comes back", "what is not signed")."""

_MOST = {"docs": 0, "service": 3, "tests": 16}
"""The most occurrences in each part: names in code (`Nobody`), data of tests, commands of Redis. These numbers only fall."""

_LIMIT = 25
"""Words in a sentence of the documentation."""

_SPARE = 2
"""Sentences of a page that may be longer."""

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _prose(page: Path) -> str:
    """The page without blocks of code; code in a line counts as one word."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"`[^`]*`", "x", text)


def _sentences(page: Path) -> list[str]:
    """The sentences outside of tables and headings; an item of a list is a paragraph."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[*\-]|\d+\.)\s)|\n(?=#)", _prose(page)):
        if not paragraph.lstrip().startswith(("|", "#")):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split()))
            found += re.split(r"(?<=[.!?])[\s*)]+(?=[A-Z*\[x(\d])|: (?=\d\.)", text)
    return found


@pytest.mark.parametrize("area", _MOST)
def test_prose_names_its_subjects(area: str) -> None:
    """A reader who meets "whoever" or "what is not signed" has to guess the thing that is meant."""
    if area == "docs":
        texts = {page: _prose(page) for page in PAGES}
    else:
        paths = [path for path in sorted((ROOT / area).rglob("*.py")) if path.name != "test_language.py"]
        texts = {path: path.read_text(encoding="utf-8") for path in paths}
    found = [f"{path.relative_to(ROOT)}: {hit[0].strip()}" for path, text in texts.items() for hit in _FORBIDDEN.finditer(text)]
    assert len(found) <= _MOST[area], "name the thing instead (an instance, a client, a user):\n" + "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_sentences_of_the_documentation_are_short(page: Path) -> None:
    """Long sentences hold more than one idea; a reader in a hurry loses the second one."""
    longer = [sentence for sentence in _sentences(page) if len(sentence.split()) > _LIMIT]
    assert len(longer) <= _SPARE, "split them:\n" + "\n".join(longer)
