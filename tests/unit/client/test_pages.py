"""Objects of applications in what the service sends: a client reads them wherever they stand."""

import json
from typing import Any

import pytest

from holdfast.client.connection import decode
from holdfast.client.messages import Message
from holdfast.client.pages import page_in
from holdfast.protocol.frames import ConversationNotice

AT = "2026-01-31T12:00:00.000Z"
METADATA: list[Any] = [None, {}, {"a": [1, {"b": None}]}]


@pytest.mark.parametrize("metadata", METADATA, ids=json.dumps)
def test_page_holds_messages_with_metadata(metadata: Any) -> None:
    """Else a message that only a page brings is fetched for ever, and all later ones wait behind it."""
    names = {"conversation_id": "c", "message_id": "000000000001", "sender": "ben", "client_message_id": "k", "sent_at": AT}
    message = {**names, "seq": 1, "body": "hello", "metadata": metadata, "read_by": []}
    page = page_in(json.dumps({"messages": [message], "has_more": False, "last_seq": 1}).encode(), "c")
    assert page is not None
    assert [Message.of(each).metadata for each in page.messages] == [metadata]


@pytest.mark.parametrize("metadata", METADATA, ids=json.dumps)
def test_notice_of_a_conversation_with_metadata_is_read(metadata: Any) -> None:
    """Otherwise the client of a user who is added again does not show the conversation until its next connection."""
    names = {"conversation_id": "c", "title": None, "metadata": metadata, "created_by": "ben", "created_at": AT}
    numbers = {"member_count": 2, "joined_seq": 0, "last_seq": 1, "last_read_seq": 0, "unread_count": 1, "revision": 1}
    rest = {"members": ["ann", "ben"], "last_message": None, "last_message_at": None, "indicators": True}
    notice = {"type": "conversation", "event": "created", "conversation_id": "c", "revision": 1, "by": "ben", "at": AT}
    frame = decode(json.dumps({**notice, "conversation": {**names, **numbers, **rest}}))
    assert isinstance(frame, ConversationNotice)
    assert frame.conversation
    assert json.loads(bytes(frame.conversation.metadata)) == metadata
