"""The runbooks: a complete section for every alert, under the address that the alert names."""

import re

from support.prometheus_rules import alerts
from support.runbooks import RUNBOOKS, sections

PARTS = ["Meaning", "Impact", "First commands", "Mitigation", "How it ends"]


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    """A link that leads nowhere costs the minute that counts; a section without an alert is never read."""
    linked = {rule["annotations"]["runbook_url"].removeprefix("https://runbooks.example.com/") for rule in alerts()}
    assert linked == {f"{page}#{heading.lower()}" for page, heading, _ in sections()}


def test_every_section_has_its_five_parts_and_three_commands() -> None:
    """Its meaning, the effect on users, where to begin, what to do, when it is over."""
    for _, heading, text in sections():
        assert re.findall(r"^\*\*([\w ]+)\.\*\*", text, re.MULTILINE) == PARTS, heading
        (commands,) = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        assert len(commands.splitlines()) == 3, heading


def test_the_page_of_runbooks_lists_every_page() -> None:
    """The index is where a newcomer begins."""
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[([\w-]+\.md)\]", index, re.MULTILINE)) == {
        page.name for page in RUNBOOKS.glob("*.md") if page.name != "README.md"
    }


def test_links_to_sections_of_runbooks_lead_somewhere() -> None:
    """Alerts refer to each other's sections."""
    known = {(page, heading.lower()) for page, heading, _ in sections()}
    for page in RUNBOOKS.glob("*.md"):
        for target, anchor in re.findall(r"\]\(([\w-]+\.md)?#(holdfast\w+)\)", page.read_text(encoding="utf-8")):
            assert (target or page.name, anchor) in known, f"{page.name}: {target}#{anchor}"
