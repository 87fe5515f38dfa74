"""The whole client against a scripted server: what its parts cannot show alone."""

import asyncio

from client_conformance.server import Json, ScriptedServer
from holdfast.client import Client

SYNCED: Json = {"send": {"type": "synced", "heads": {}, "read_seqs": {}, "revisions": {}}}


def of(server: ScriptedServer) -> Client:
    """A client of that server."""
    return Client([f"http://127.0.0.1:{server.port}"], "token", cursors={})


async def test_sends_in_five_hundred_conversations_are_all_stored() -> None:
    """64 may be unanswered; a client that writes them all at once is closed for good."""
    limits = {"sends_per_second": 2_000, "frames_per_second": 2_000}
    script = {"limits": limits, "sockets": [[{"welcome": {}}, {"serve": {"answer_after": 0.01}}]]}
    async with ScriptedServer(script) as server, of(server) as client, asyncio.timeout(30):
        await client.connected()
        await asyncio.gather(*(client.send(f"c{number}", "hello") for number in range(500)))
        assert len(server.stored) == 500
        assert [entry for entry in server.log if "too_many" in entry] == []
