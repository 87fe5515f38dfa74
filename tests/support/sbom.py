"""What the image is made of, as a CycloneDX document, from the locks and the Dockerfile: `python -m support.sbom` prints it."""

import json
import re
import sys
from typing import Any

from packaging.markers import Marker

from holdfast import __version__
from support.helm import ROOT

_DISTRIBUTION = "holdfast-chat"  # as the locks name this project
_ENTRY = re.compile(r"^([a-z0-9._-]+)==([^ \\;]+)(?: ; ([^\\\n]+?))? \\\n((?:    .*\n?)*)", re.MULTILINE)


def unused() -> set[str]:
    """The packages of the lock that the image leaves out."""
    (names,) = re.findall(r'^ARG UNUSED="([^"]+)"', (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return set(names.split())


def document() -> dict[str, Any]:
    """Each package with its version, the hashes of its files in the index, and the packages that depend on it."""
    found = _ENTRY.findall((ROOT / "locks" / "runtime.txt").read_text())
    entries = {name: (version, told) for name, version, marker, told in found if name not in unused() and _is_here(marker)}
    references = {_DISTRIBUTION: "holdfast"} | {name: f"pkg:pypi/{name}@{version}" for name, (version, _) in entries.items()}
    needs: dict[str, list[str]] = {name: [] for name in references}
    for name, (_, told) in entries.items():
        for parent in re.findall(r"#   (?!-)(\S+)", told):
            needs.setdefault(parent, []).append(references[name])
    own = {"type": "application", "name": "holdfast", "version": __version__, "bom-ref": "holdfast"}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": own | {"licenses": [{"license": {"id": "Apache-2.0"}}]}},
        "components": [
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": references[name],
                "bom-ref": references[name],
                "hashes": [{"alg": "SHA-256", "content": each} for each in re.findall(r"--hash=sha256:([0-9a-f]{64})", told)],
            }
            for name, (version, told) in entries.items()
        ],
        "dependencies": [{"ref": reference, "dependsOn": needs[name]} for name, reference in references.items()],
    }


def _is_here(marker: str) -> bool:
    return not marker or Marker(marker).evaluate({"sys_platform": "linux", "platform_system": "Linux"})


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=1)
