"""Bytes both ways between a client and an instance, until one of them ends.

Bounded: a side that reads slowly stops the other side's sender through TCP, with at most a few buffers of 64 KB between
them. How a connection ends is passed on: an orderly end as one, anything else as a reset.
"""

import asyncio

_CHUNK_BYTES = 65_536
_HALF_CLOSED_SECONDS = 30.0  # a client that said all it will say may wait this long for its answer

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def join(client: Stream, instance: Stream) -> None:
    """Pass bytes between the two; on return both are closed or aborted."""
    up = asyncio.create_task(_copy(client[0], instance[1]))
    down = asyncio.create_task(_copy(instance[0], client[1]))
    try:
        done, _ = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        if up in done and up.exception() is None:
            done, _ = await asyncio.wait((down,), timeout=_HALF_CLOSED_SECONDS)
        is_orderly = down in done and down.exception() is None
    finally:
        up.cancel()
        down.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
    for _, writer in (client, instance):
        await (_close(writer) if is_orderly else _abort(writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the end of `reader`, which `writer` is told."""
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(_HALF_CLOSED_SECONDS):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


async def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
