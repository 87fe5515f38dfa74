"""Pictures in reports/pictures: a scene with so many calm seconds is played, and all dashboards are drawn; 0: the last scene."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

from support.pictures.draw import build, draw
from support.pictures.scene import play

DIRECTORY = Path("reports/pictures")


async def main(calm_seconds: float) -> None:
    """Play, draw, and say which panels had no data."""
    scene, page = DIRECTORY / "scene", DIRECTORY / "page"
    build(page)
    if calm_seconds:
        shutil.rmtree(scene, ignore_errors=True)
        scene.mkdir(parents=True)
        await play(scene, calm_seconds)
    ranges = json.loads((scene / "ranges.json").read_text(encoding="utf-8"))
    for name, empty in (await draw(scene, page, DIRECTORY, ranges)).items():
        print(DIRECTORY / name, *(["no data:", ", ".join(empty)] if empty else []))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
