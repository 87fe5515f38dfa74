"""A chat server as tutorials of FastAPI write it: a dict of rooms, and `await send` in a loop. It checks tokens as Holdfast does.

Called with a port, or with --version.
"""

import json
import os
import sys
from collections import defaultdict
from importlib.metadata import version

import jwt
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

SECRET = os.environ.get("PEER_SECRET", "")
app = FastAPI()
rooms: dict[str, list[WebSocket]] = defaultdict(list)


def user_of(websocket: WebSocket) -> str:
    """The user whom the bearer's token names."""
    token = websocket.headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], issuer="holdfast", audience="holdfast")
    return str(claims["sub"])


async def broadcast(room: str, text: str) -> None:
    """To all members, one after the other."""
    for member in list(rooms[room]):
        try:
            await member.send_text(text)
        except (RuntimeError, WebSocketDisconnect):
            continue  # it left meanwhile; its own handler takes it out


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    """One connection: the first frame joins a room."""
    try:
        user = user_of(websocket)
    except (KeyError, jwt.InvalidTokenError):
        await websocket.close()
        return
    await websocket.accept()
    room = ""
    try:
        while True:
            frame = await websocket.receive_json()
            if frame["type"] == "join":
                room = frame["room"]
                rooms[room].append(websocket)
                await websocket.send_json({"type": "joined"})
            else:
                message = {"type": "message", "from": user, "room": room, "id": frame["id"], "body": frame["body"]}
                await broadcast(room, json.dumps(message))
    except WebSocketDisconnect:
        if websocket in rooms[room]:
            rooms[room].remove(websocket)
        if not rooms[room]:
            del rooms[room]


if __name__ == "__main__":
    if sys.argv[1] == "--version":
        print(f"FastAPI {version('fastapi')}, uvicorn {version('uvicorn')}, websockets {version('websockets')}")
    else:
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", ws="websockets")
