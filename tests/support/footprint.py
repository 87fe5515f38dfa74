"""How much room an instance takes: `python -m support.footprint [IMAGE.tar]`, the archive as `docker save` writes it.

Memory is that of an idle instance ten seconds after it became ready, on each store. A layer's size is that of its gzip, which is
what a registry hands out.
"""

import asyncio
import json
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import IO, Final

from holdfast.launcher.emulator import Emulator
from support.emulator import require_emulator
from support.hostile import rss_bytes
from support.instances import Instances
from support.redis_server import SYSTEM, RedisServer, require_binary

_IDLE_SECONDS: Final = 10.0
_CHUNK_BYTES: Final = 1 << 20
_GZIP: Final = 31  # zlib's number for gzip with the largest window
_MB: Final = 1e6


async def _idle_bytes(directory: Path, redis_url: str, store_url: str, **environ: str) -> int:
    instances = Instances(directory, redis_url, store_url, **environ)
    try:
        (instance,) = await instances.start("idle")
        await asyncio.sleep(_IDLE_SECONDS)
        return rss_bytes(instance.pid)
    finally:
        instances.close()


async def _memory() -> None:
    redis, emulator = RedisServer(require_binary(SYSTEM)), Emulator(require_emulator())
    await redis.start()
    try:
        await emulator.start()
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            on_sqlite = await _idle_bytes(directory, redis.url, f"sqlite:///{directory}/holdfast.db")
            told = {"FIRESTORE_EMULATOR_HOST": emulator.address}
            on_firestore = await _idle_bytes(directory, redis.url, "firestore://footprint", **told)
    finally:
        emulator.close()
        redis.close()
    print(f"idle on SQLite {on_sqlite / _MB:.0f} MB, on Firestore {on_firestore / _MB:.0f} MB")


def _compressed_bytes(layer: IO[bytes]) -> int:
    head = layer.read(2)
    layer.seek(0)
    packer = None if head == b"\x1f\x8b" else zlib.compressobj(6, wbits=_GZIP)
    size = 0
    while chunk := layer.read(_CHUNK_BYTES):
        size += len(packer.compress(chunk)) if packer else len(chunk)
    return size + (len(packer.flush()) if packer else 0)


def _layers(archive: Path) -> None:
    with tarfile.open(archive) as image:

        def read(name: str) -> IO[bytes]:
            found = image.extractfile(name)
            assert found is not None, name
            return found

        (manifest,) = json.load(read("manifest.json"))
        history = [each for each in json.load(read(manifest["Config"]))["history"] if not each.get("empty_layer")]
        for name, made in zip(manifest["Layers"], history, strict=True):
            print(f"{_compressed_bytes(read(name)) / _MB:6.1f} MB  {made.get('created_by', '')[:100]}")


if __name__ == "__main__":
    for path in sys.argv[1:]:
        _layers(Path(path))
    asyncio.run(_memory())
