"""A bot that repeats what a user says to it, until the user says "bye".

pip install holdfast-chat
CHAT_URL=https://chat.example.com CHAT_TOKEN=… python bot.py user123

It needs nothing of the server. Kill the instance that it talks to: it goes on at another one, and repeats nothing twice.
"""

import asyncio
import os
import sys

from holdfast.client import Client


async def main(user: str) -> None:
    """Talk to one user."""
    async with Client([os.environ["CHAT_URL"]], os.environ["CHAT_TOKEN"], name="echo-bot") as client:
        await client.connected()
        conversation = await client.rest.direct(user)
        history = await client.rest.history(conversation.conversation_id, limit=10)
        print(f"{history.last_seq} messages so far", *(f"{each.sender}: {each.body}" for each in history.messages), sep="\n")
        await client.send(conversation.conversation_id, "I repeat what you say.")
        async for message in client.messages():
            if (message.conversation_id, message.sender) != (conversation.conversation_id, user):
                continue
            if message.body == "bye":
                return
            # An id made of the message: should the bot be started again and see it again, nothing is sent twice.
            await client.send(message.conversation_id, message.body, client_message_id=f"echo-{message.message_id}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
