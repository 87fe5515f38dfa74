"""The parts that drills break things with do what they are for, or say what this machine lacks."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

from holdfast.drills.local.clock import REMEDY, missing_faketime, shifted
from holdfast.drills.local.disk import SmallDisk, missing_mount
from holdfast.drills.local.proxy import Proxy
from holdfast.launcher.waiting import TargetFailed


def test_a_full_disk_refuses_and_an_emptied_one_takes_again() -> None:
    """A disk that still had room for a row would make the drill pass by itself. Without the right to mount it says so."""
    disk = SmallDisk(1)
    try:
        if reason := missing_mount():
            assert "cannot be mounted" in reason
            with pytest.raises(TargetFailed, match="cannot be mounted"):
                disk.mount()
            return
        disk.mount()
        file = disk.path / "file"
        file.write_bytes(b"some")
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            file.write_bytes(b"x" * 8192)
        disk.empty()
        file.write_bytes(b"x" * 8192)
    finally:
        disk.close()
    assert not disk.path.exists()


def test_a_shifted_clock_is_wrong_by_an_hour_and_monotonic_time_is_not() -> None:
    """The drill is about the wall clock alone; with the other one shifted every timer would fire at once."""
    if reason := missing_faketime():
        assert reason == REMEDY
        return
    program = "import time; print(time.time(), time.monotonic())"
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | shifted("-1h"), capture_output=True, check=True)
    wall, monotonic = map(float, done.stdout.split())
    assert abs(time.time() - 3600 - wall) < 60
    assert abs(time.monotonic() - monotonic) < 60


async def test_a_front_asks_for_each_connection_where_it_goes() -> None:
    """Instances come and go behind it; a connection that it cannot place is reset, and the next one may be."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    ports = iter([0, server.sockets[0].getsockname()[1]])
    async with server, Proxy(lambda: next(ports)) as front:
        answers = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
            try:
                writer.write(b"hello\n")
                answers.append(await reader.readline())
            except ConnectionError:
                answers.append(b"")
            writer.close()
        assert answers == [b"", b"hello\n"]
