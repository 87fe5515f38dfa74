"""The hooks for React of an installed JavaScript client, rendered on Node; the tests are in JavaScript."""

import shutil
from pathlib import Path

from support.javascript import require_node, run

_TESTS = [Path(__file__).with_name(name) for name in ("javascript_react.test.mjs", "fake_service.mjs")]


def test_hooks(react_application: Path) -> None:
    """A component renders when its own part has changed, and no other one does; a component that is removed is told nothing."""
    for each in _TESTS:
        shutil.copy(each, react_application)
    run(require_node(), "--test", "--test-force-exit", _TESTS[0].name, cwd=react_application)


def test_hooks_are_marked_as_code_of_the_client(react_application: Path) -> None:
    """Frameworks with server components refuse hooks in a module that does not begin with this directive."""
    module = react_application / "node_modules" / "@holdfast" / "client" / "src" / "react.js"
    assert module.read_text(encoding="utf-8").startswith('"use client";\n')
