"""Node and the tools of the JavaScript client, which `make javascript` installs into clients/javascript/node_modules."""

from pathlib import Path

from support.up import require

CLIENT = Path(__file__).parents[2] / "clients" / "javascript"
TOOLS = CLIENT / "node_modules" / ".bin"


def require_tool(name: str) -> Path:
    """A program of the client's development dependencies; without it the test is skipped, loudly, and fails in CI."""
    require((TOOLS / name).exists(), f"no {name} here: make javascript (needs npm)")
    return TOOLS / name


def require_node() -> Path:
    """Node of the version that the client supports at least, whichever one the machine has."""
    return require_tool("node")
