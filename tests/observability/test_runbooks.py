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


def test_commands_that_read_logs_read_those_of_every_pod_and_all_lines() -> None:
    """`kubectl logs` of a Deployment shows one of its pods, and with a selector ten lines of each: the fault is in another pod,
    or in another line."""
    commands = [
        (page.name, line)
        for page in RUNBOOKS.glob("*.md")
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for line in block.splitlines()
        if re.search(r"kubectl .*\blogs\b", line)
    ]
    assert commands
    assert [each for each in commands if re.search(r"\b(deployment|deploy|statefulset|sts|service|svc)/", each[1])] == []
    assert [each for each in commands if re.search(r" (-l|--selector)\b", each[1]) and "--tail=" not in each[1]] == []


def test_newest_lines_of_several_pods_are_put_in_order_before_the_last_are_taken() -> None:
    """`kubectl logs` with a selector prints one pod after the other: the last lines would be those of one pod."""
    lines = [(page, line) for page in RUNBOOKS.glob("*.md") for line in page.read_text(encoding="utf-8").splitlines()]
    found = [(page, line) for page, line in lines if line.startswith("kubectl") and "component=chat" in line and "| tail" in line]
    assert found
    for page, line in found:
        assert "--prefix" in line, f"{page.name}: {line}"
        assert "| sort -k2 | tail" in line, f"{page.name}: {line}"
