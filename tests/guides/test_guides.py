"""Each block of each guide: written, typed or run, and its output compared with what the page shows."""

from pathlib import Path

import pytest

from support.guide_cluster import Cluster
from support.guides import PAGES, Block, Reader, blocks, matches

_FOLLOWED = [page for page in PAGES if blocks(page) and page.name != "add-chat.md"]  # that one has a test of its own


@pytest.mark.parametrize("page", _FOLLOWED, ids=lambda page: page.stem)
async def test_guide_works_as_it_is_written(page: Path, cluster: Cluster, reader: Reader) -> None:
    """A reader copies the blocks; what a page shows as output is what the reader gets."""
    if any("kill -9" in block.text for block in blocks(page)):
        await cluster.restore()
    await reader.follow(page)


def test_runner_refuses_a_block_that_it_would_not_run(tmp_path: Path) -> None:
    """Such a block would be wrong one day, and no test would tell."""
    page = tmp_path / "page.md"
    page.write_text("```ruby\nputs 1\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"page\.md: the runner does not know this block: ruby"):
        blocks(page)


def test_output_is_that_of_the_block_before_it_and_compared_as_a_whole(tmp_path: Path) -> None:
    """A page that shows less than what is printed surprises its reader as well."""
    page = tmp_path / "page.md"
    page.write_text("```bash background\necho one\n```\n\n```text\nvalid until …\n```\n", encoding="utf-8")
    assert blocks(page) == [Block("bash", True, "echo one\n", "valid until …\n")]
    assert matches("valid until …\n", "valid until 2026\n")
    assert not matches("valid until …\n", "valid until 2026\nand a warning\n")
    assert not matches("valid until …\n", "valid")


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ("```bash\necho one\n```\n```text\ntwo\n```\n", "the page shows\ntwo"),
        ("```bash\ncat nothing.txt\n```\n", "No such file"),
        ("```js\nconsole.log(1);\n```\n```text\n2\n```\n", "the page shows\n2"),
        ("```python\nawait nothing\n```\n", "NameError"),
    ],
    ids=["other output", "command fails", "module prints other output", "module fails"],
)
async def test_runner_notices_a_guide_that_is_wrong(block: str, complaint: str, tmp_path: Path) -> None:
    """A runner that passes over mistakes would be worse than none."""
    page = tmp_path / "page.md"
    page.write_text(block, encoding="utf-8")
    (tmp_path / "holdfast").mkdir()
    reader = Reader(tmp_path, {})
    try:
        with pytest.raises(AssertionError, match=complaint):
            await reader.follow(page)
    finally:
        reader.close()
