"""The Python client: every message shown once and in order, through whatever happens to the instances behind it.

async with Client(["https://chat.example.com"], token=fetch_token) as client:
    await client.send("team-42", "hello")
    async for message in client.messages():
        print(message.sender, message.body)
"""

from holdfast.client.client import Client
from holdfast.client.errors import CallFailed, ClientStopped, SendFailed
from holdfast.client.events import Connected, Disconnected, Event, Observer, Unreachable
from holdfast.client.messages import Message
from holdfast.client.rest import Conversation, History, Member

__all__ = [
    "CallFailed",
    "Client",
    "ClientStopped",
    "Connected",
    "Conversation",
    "Disconnected",
    "Event",
    "History",
    "Member",
    "Message",
    "Observer",
    "SendFailed",
    "Unreachable",
]
