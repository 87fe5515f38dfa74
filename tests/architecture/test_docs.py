"""The pages say what the code does: frames, codes, limits, metrics, commands and links."""

import re
from pathlib import Path

import msgspec
import pytest

from holdfast.cli import COMMANDS
from holdfast.drills.scenarios import CATALOGUE
from holdfast.probe.judge import KINDS
from holdfast.probe.measures import RESULTS, STEPS, Measures
from holdfast.protocol import frames
from holdfast.protocol.codes import CODES, CloseCode
from holdfast.settings import LimitSettings
from holdfast.telemetry import ControllerTelemetry, Telemetry

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def _section(page: str, heading: str) -> str:
    return page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def _fields(frame: type[msgspec.Struct]) -> set[str]:
    """The fields as the page shows them: a question mark after each that may be absent."""
    return {field.encode_name + ("" if field.required else "?") for field in msgspec.structs.fields(frame)}


@pytest.mark.parametrize(
    ("heading", "union"),
    [("What clients send", frames.AnyClientFrame), ("What the service sends", frames.AnyServerFrame)],
    ids=["client", "server"],
)
def test_every_frame_is_documented_with_its_fields(heading: str, union: type) -> None:
    """A client is written from this page."""
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", _section(_page("protocol.md"), heading), re.MULTILINE)
    documented = {name: set(fields.split(", ")) for name, fields in rows}
    assert documented == {str(frame.__struct_config__.tag): _fields(frame) for frame in union.__args__}


def test_every_error_code_is_documented_as_it_behaves() -> None:
    """Whether a client tries again, and when a socket ends, is decided by this table."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+|-) \| (?:closes with (\d+)|[^|]+) \| (yes|no) \|$",
        _section(_page("protocol.md"), "Errors"),
        re.MULTILINE,
    )
    documented = {code: (status, close, retryable) for code, status, close, retryable in rows}
    assert documented == {
        code: (str(row.status or "-"), str(int(row.close)) if row.close else "", "yes" if row.is_retryable else "no")
        for code, row in CODES.items()
    }


def test_every_close_code_is_documented() -> None:
    """A client must know what to do after each."""
    section = _section(_page("protocol.md"), "When a socket ends")
    assert [int(code) for code in CloseCode if str(int(code)) not in section] == []


def test_every_announced_limit_is_documented_with_its_default() -> None:
    """The table is what `welcome.limits` says with the default settings."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", _section(_page("protocol.md"), "Limits"), re.MULTILINE))
    defaults = LimitSettings()
    assert {name: int(value) for name, value in rows.items()} == {
        name: getattr(defaults, name) for name in frames.Limits.__struct_fields__
    }


def test_every_metric_that_a_page_names_exists() -> None:
    """A dashboard is built from these pages; `metrics.md` is made of what instances and controllers expose."""
    registries = (Telemetry("0").registry, ControllerTelemetry().registry, Measures().registry)
    suffixes = ("", "_total", "_info", "_bucket", "_sum", "_count")
    exposed = {family.name + suffix for registry in registries for family in registry.collect() for suffix in suffixes}
    for page in PAGES:
        for name in re.findall(r"\bholdfast_\w+", page.read_text(encoding="utf-8")):
            assert name in exposed or not name.endswith(("_total", "_seconds", "_bytes", "_up", "_info")), f"{page.name}: {name}"


def test_every_metric_of_the_probe_is_documented_with_its_labels() -> None:
    """Rules are written from this page."""
    section = _section(_page("operating.md"), "The probe")
    exposed = {family.name + {"counter": "_total"}.get(family.type, "") for family in Measures().registry.collect()}
    assert set(re.findall(r"^\| `(holdfast_probe_\w+)` \|", section, re.MULTILINE)) == exposed
    assert all(f"`{value}`" in section for value in (*KINDS, *STEPS, *RESULTS))


def test_every_drill_is_documented_and_no_other() -> None:
    """A reader looks up here the failure and the expectations before a drill is played."""
    rows = re.findall(
        r"^\| ((?:`[a-z-]+`(?:, )?)+) \| .+ \| .*\|$", _page("drills.md").split("## What a history")[0], re.MULTILINE
    )
    assert sorted(re.findall(r"`([a-z-]+)`", " ".join(rows))) == sorted(CATALOGUE)


def test_every_command_in_the_pages_exists() -> None:
    """What the pages tell a newcomer to type must work."""
    known = {command.name for command in COMMANDS}
    for page in PAGES:
        for name in re.findall(r"(?:\.venv/bin/|`|\$ )holdfast ([a-z]+)\b", page.read_text(encoding="utf-8")):
            assert name in known, f"{page.name}: holdfast {name}"


def test_every_make_target_in_the_pages_exists() -> None:
    """The same for make."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        for name in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert name in targets, f"{page.name}: make {name}"


def test_links_between_pages_lead_somewhere() -> None:
    """Relative links only; addresses outside are not ours to check."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_links_to_headings_lead_to_one() -> None:
    """A browser opens the page at its top instead, and the reader searches."""
    headings = {page.resolve(): _anchors(page) for page in PAGES}
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
            assert anchor in headings[(page.parent / target if target else page).resolve()], f"{page.name}: {target}#{anchor}"


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: lower case, hyphens for blanks, no punctuation."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", each) for each in re.findall(r"^#+ (.+)$", prose, re.MULTILINE))
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


def test_the_paths_that_the_pages_name_exist() -> None:
    """A map with streets that are gone is worse than none."""
    house = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = "adapters|cli|client|domain|drills|node|protocol|telemetry|web"
    for path in re.findall(rf"(?<![\w/])((?:{rooms})/[\w/]+\.py)\b", house):
        assert (ROOT / "service" / "holdfast" / path).exists(), f"CONTRIBUTING.md: {path}"
    for page in PAGES:
        for path in re.findall(r"`((?:service|tests|docs|locks|\.ci)/[\w./-]*\w/?)`", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_every_concept_names_a_promise_and_a_test_that_exists() -> None:
    """A concept earns its place by a promise that fails without it."""
    promises = re.findall(r"^(\d+)\. \*\*", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    concepts = re.split(r"^### ", _page("architecture.md"), flags=re.MULTILINE)[1:]
    for concept in concepts:
        name = concept.split("\n", 1)[0]
        (named,) = re.findall(r"^\* Without \w+(?: \w+)?: promises? ([\d and]+)\. ", concept, re.MULTILINE)
        assert set(named.split(" and ")) <= set(promises), name
        (shown,) = re.findall(r"^\* Shown by: `([\w/.]+)::(\w+)`(?: \(`(\w+)`\))?$", concept, re.MULTILINE)
        path, test, altered = shown
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {test}\(", text, re.MULTILINE), f"{name}: {shown}"
        assert f'("{altered}", ' in text or not altered, f"{name}: {shown}"
