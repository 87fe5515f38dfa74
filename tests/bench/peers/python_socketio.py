"""A chat server on python-socketio, in uvicorn. Called with a port, or with --version."""

import sys
from importlib.metadata import version

import socketio
import uvicorn

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], ping_interval=300)


@server.on("join")
async def join(sid: str, room: str) -> None:
    """The first event of a connection."""
    await server.enter_room(sid, room)
    await server.emit("joined", to=sid)


@server.on("send")
async def send(_sid: str, room: str, key: str, body: str) -> None:
    """To all members of the room."""
    await server.emit("message", {"room": room, "id": key, "body": body}, room=room)


if __name__ == "__main__":
    if sys.argv[1] == "--version":
        print(f"python-socketio {version('python-socketio')}, uvicorn {version('uvicorn')}")
    else:
        uvicorn.run(socketio.ASGIApp(server), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", ws="websockets")
