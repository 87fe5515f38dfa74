"""REST under `/api`: the same commands as the socket's, the same rules, the same codes."""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import UNSET, Raw, Struct

from holdfast.domain import ids
from holdfast.domain.conversations import PageKey
from holdfast.domain.ids import ConversationId, Seq, UserId
from holdfast.domain.messages import Message
from holdfast.errors import CommandError, HoldfastError, InvalidRequest, rate_limited
from holdfast.node.connections.encoded import message_frame
from holdfast.node.requests.commands import TYPING_EXPIRES_MS, Caller, checked_metadata
from holdfast.node.sending.append import Settled
from holdfast.node.users.reading import Seen
from holdfast.node.users.receipts import ReadDone
from holdfast.protocol import rest
from holdfast.protocol.jsontext import rfc3339
from holdfast.web.calls import GET, answer, body, caller, identity, number, until_sent
from holdfast.web.gate import Gate
from holdfast.web.pages import fitting

_DEFAULT_LIMIT: Final = 50
_MAX_TIME_DIGITS: Final = 15  # Unix milliseconds until the year 33658: what every store takes as an integer
T = TypeVar("T")


def router(gate: Gate) -> APIRouter:
    """Every call of `/api`, and the two that the acceptance guide writes at the root."""
    return _Rest(gate).router


class _EncodedMessages(Struct):
    """`rest.MessagePage`, its messages encoded."""

    messages: list[Raw]
    has_more: bool
    last_seq: int


class _EncodedConversations(Struct):
    """`rest.ConversationPage`, its summaries encoded."""

    conversations: list[Raw]
    next_cursor: str | None


class _Rest:
    """The calls of one instance."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._node = gate.node
        self._limits = gate.node.settings.limits
        self.router = APIRouter()
        for method, path, name in (
            ("POST", "/conversations", "create_conversation"),
            ("GET", "/conversations", "list_conversations"),
            ("PUT", "/conversations/direct/{user_id}", "open_direct"),
            ("GET", "/conversations/{conversation_id}", "get_conversation"),
            ("PATCH", "/conversations/{conversation_id}", "update_conversation"),
            ("PUT", "/conversations/{conversation_id}/members/{user_id}", "add_member"),
            ("DELETE", "/conversations/{conversation_id}/members/{user_id}", "remove_member"),
            ("GET", "/conversations/{conversation_id}/messages", "list_messages"),
            ("POST", "/conversations/{conversation_id}/messages", "send_message"),
            ("POST", "/conversations/{conversation_id}/typing", "set_typing"),
            ("POST", "/conversations/{conversation_id}/messages/{message_id}/read", "mark_read"),
            ("GET", "/users/{user_id}/presence", "get_presence"),
            ("DELETE", "/users/{user_id}/connections", "close_connections"),
            ("DELETE", "/users/{user_id}/tokens/{token_id}", "revoke_token"),
            ("DELETE", "/connections", "log_out"),
            ("DELETE", "/tokens/current", "revoke_own_token"),
            ("GET", "/blocks", "list_blocks"),
            ("PUT", "/blocks/{user_id}", "block_user"),
            ("DELETE", "/blocks/{user_id}", "unblock_user"),
            ("GET", "/connections/stats", "connection_stats"),
            ("GET", "/connections/info", "connection_info"),
            ("GET", "/health", "health"),
        ):
            methods = GET if method == "GET" else [method]
            self.router.add_api_route(f"/api{path}", getattr(self, name), methods=methods, include_in_schema=False)
        guide = {"/{conversation_id}/typing": "set_typing", "/{conversation_id}/messages/{message_id}/read": "mark_read"}
        for path, name in guide.items():
            self.router.add_api_route(path, getattr(self, name), methods=["POST"], include_in_schema=False)

    # --- conversations --------------------------------------------------------------------------------------------------

    async def create_conversation(self, request: Request) -> Response:
        who = self._caller(request)
        wanted = await body(request, rest.CreateConversation, self._limits.frame_bytes)
        metadata, _ = checked_metadata(wanted.metadata, self._limits.metadata_bytes)
        if wanted.conversation_id is not None:
            ids.conversation_id(wanted.conversation_id)
        view, is_new = await self._node.conversation_service.create(
            who, wanted.members, title=wanted.title, metadata_json=metadata, conversation_id=wanted.conversation_id
        )
        return answer(view, 201 if is_new else 200)

    async def open_direct(self, request: Request, user_id: str) -> Response:
        view, is_new = await self._node.conversation_service.open_direct(self._caller(request), user_id)
        return answer(view, 201 if is_new else 200)

    async def list_conversations(self, request: Request) -> Response:
        who = self._caller(request)
        after = _page_key(request.query_params.get("cursor"))
        await until_sent(request, self._gate.pages.place(who.user_id))
        views, keys, has_more = await self._node.conversation_service.page(
            who, number(request, "limit", _DEFAULT_LIMIT) or 0, after
        )
        shown = fitting(views)
        has_more = has_more or len(shown) < len(views)
        page = _EncodedConversations([Raw(text) for text in shown], _cursor(keys[len(shown) - 1]) if has_more else None)
        return self._page_answer(who, page)

    async def get_conversation(self, request: Request, conversation_id: str) -> Response:
        view, conversation, cursors, presence = await self._node.conversation_service.describe(
            self._caller(request), conversation_id
        )
        is_small = view.indicators
        members = [
            rest.Member(
                user_id=user_id,
                last_read_seq=max(cursors.get(user_id, 0), conversation.joined_seq(user_id)) if is_small else UNSET,
                online=presence[user_id].online if user_id in presence else UNSET,
                last_seen_at=_at(presence[user_id].last_seen_at_ms) if user_id in presence else UNSET,
            )
            for user_id in conversation.members
        ]
        return answer(rest.ConversationDetail(**{**msgspec.structs.asdict(view), "members": members}))

    async def update_conversation(self, request: Request, conversation_id: str) -> Response:
        who = self._caller(request)
        wanted = await body(request, rest.UpdateConversation, self._limits.frame_bytes)
        metadata, _ = checked_metadata(wanted.metadata, self._limits.metadata_bytes)
        keeps = {name for name in ("title", "metadata") if getattr(wanted, name) is UNSET}
        title = None if wanted.title is UNSET else wanted.title
        view = await self._node.conversation_service.update(
            who, conversation_id, title=title, metadata_json=metadata, keeps=frozenset(keeps)
        )
        return answer(view)

    async def add_member(self, request: Request, conversation_id: str, user_id: str) -> Response:
        view, is_new = await self._node.conversation_service.add_member(self._caller(request), conversation_id, user_id)
        return answer(view, 201 if is_new else 200)

    async def remove_member(self, request: Request, conversation_id: str, user_id: str) -> Response:
        await self._node.conversation_service.remove_member(self._caller(request), conversation_id, user_id)
        return Response(status_code=204)

    # --- messages -------------------------------------------------------------------------------------------------------

    async def list_messages(self, request: Request, conversation_id: str) -> Response:
        who = self._caller(request)
        after_seq = number(request, "after_seq")
        await until_sent(request, self._gate.pages.place(who.user_id))
        messages, has_more, tail, read = await self._node.conversation_service.messages(
            who,
            conversation_id,
            after_seq=after_seq,
            before_seq=number(request, "before_seq"),
            limit=number(request, "limit", _DEFAULT_LIMIT) or 0,
        )
        order = 1 if after_seq is not None else -1  # what does not fit is what the next page begins with
        shown = fitting(_stored(message, read) for message in messages[::order])[::order]
        has_more = has_more or len(shown) < len(messages)
        return self._page_answer(who, _EncodedMessages([Raw(text) for text in shown], has_more, tail))

    async def send_message(self, request: Request, conversation_id: str) -> Response:
        who = self._caller(request)
        wanted = await body(request, rest.SendMessage, self._limits.frame_bytes)
        seen: Seen | None = Seen(upto=wanted.read_seq)
        if who.is_admin and wanted.sender is not None:
            seen = None if wanted.sender != who.user_id else seen
            who = Caller(ids.user_id(wanted.sender, "sender"), is_admin=True)
        elif debt := self._gate.sends.take(who.user_id, self._node.clock.monotonic()):
            raise rate_limited("too many sends", debt, outcome="refused")
        future: asyncio.Future[Settled | CommandError] = asyncio.get_running_loop().create_future()
        trace = self._node.telemetry.tracing.begin(request.headers.get("traceparent"), "rest")
        self._node.commands.send(
            who, conversation_id, wanted.client_message_id, wanted.body, wanted.metadata, _resolve(future), seen, trace
        )
        settled = await future
        if isinstance(settled, CommandError):
            raise settled
        message = settled.message
        acknowledged = rest.Acknowledged(
            conversation_id=message.conversation_id,
            client_message_id=message.client_message_id,
            message_id=ids.message_id(message.seq),
            seq=message.seq,
            sent_at=rfc3339(message.sent_at_ms),
            duplicate=settled.is_duplicate,
        )
        return answer(acknowledged, 200 if settled.is_duplicate else 201)

    async def set_typing(self, request: Request, conversation_id: str) -> Response:
        who = self._caller(request)
        wanted = await body(request, rest.SetTyping, self._limits.frame_bytes, default=rest.SetTyping())
        await self._node.commands.typing(who, conversation_id, is_active=wanted.active)
        return answer(rest.TypingSet(conversation_id=conversation_id, active=wanted.active, expires_in_ms=TYPING_EXPIRES_MS))

    async def mark_read(self, request: Request, conversation_id: str, message_id: str) -> Response:
        who = self._caller(request)
        future: asyncio.Future[ReadDone | CommandError] = asyncio.get_running_loop().create_future()
        self._node.commands.read(who, conversation_id, message_id, _resolve(future))
        done = await future
        if isinstance(done, CommandError):
            raise done
        return answer(
            rest.ReadReceipt(
                conversation_id=conversation_id,
                message_id=ids.message_id(done.seq),
                seq=done.seq,
                read_at=done.read_at,
            )
        )

    # --- users and connections ------------------------------------------------------------------------------------------

    async def get_presence(self, request: Request, user_id: str) -> Response:
        presence = await self._node.conversation_service.presence(self._caller(request), user_id)
        last_seen_at = _at(presence.last_seen_at_ms)
        return answer(rest.PresenceView(user_id=presence.user_id, online=presence.online, last_seen_at=last_seen_at))

    async def close_connections(self, request: Request, user_id: str) -> Response:
        if not self._caller(request).is_admin:
            raise CommandError("forbidden", "administrators only")
        await self._node.users.revocations.revoke(ids.user_id(user_id))
        return Response(status_code=204)

    async def revoke_token(self, request: Request, user_id: str, token_id: str) -> Response:
        if not self._caller(request).is_admin:
            raise CommandError("forbidden", "administrators only")
        if not re.fullmatch(rest.JTI, token_id):
            raise InvalidRequest("the id of a token: 1 to 256 of A-Z a-z 0-9 . _ ~ : @ + = -, the first no dot", field="token_id")
        await self._node.users.revocations.revoke_token(ids.user_id(user_id), token_id, number(request, "exp"))
        return Response(status_code=204)

    async def log_out(self, request: Request) -> Response:
        await self._node.users.revocations.revoke(self._caller(request).user_id)
        return Response(status_code=204)

    async def revoke_own_token(self, request: Request) -> Response:
        who = identity(request, self._gate)
        self._gate.count_call(who.user_id)
        if not who.token_id:
            raise InvalidRequest('the token has no id (the claim "jti"): it can only be revoked with all others', field="jti")
        await self._node.users.revocations.revoke_token(who.user_id, who.token_id, who.expires_at)
        return Response(status_code=204)

    async def list_blocks(self, request: Request) -> Response:
        blocks = await self._node.conversation_service.blocks.listed(self._caller(request))
        return answer(rest.BlockList(blocks=[str(user_id) for user_id in blocks]))

    async def block_user(self, request: Request, user_id: str) -> Response:
        await self._node.conversation_service.blocks.block(self._caller(request), user_id)
        return Response(status_code=204)

    async def unblock_user(self, request: Request, user_id: str) -> Response:
        await self._node.conversation_service.blocks.unblock(self._caller(request), user_id)
        return Response(status_code=204)

    async def connection_stats(self, request: Request) -> Response:
        if "authorization" in request.headers:
            identity(request, self._gate)
        hub = self._node.hub
        return answer(
            rest.ConnectionStats(
                instance_id=self._node.instance_id,
                connections=len(hub.connections),
                users=len(tuple(hub.users)),
                conversations=len(self._node.conversations.delivery.locals),
            )
        )

    async def connection_info(self, request: Request) -> Response:
        hub = self._node.hub
        user_id = self._caller(request).user_id if "authorization" in request.headers else None
        return answer(
            rest.ConnectionInfo(
                instance_id=self._node.instance_id,
                connections_here=len(hub.connections),
                users_here=len(tuple(hub.users)),
                user_id=UNSET if user_id is None else user_id,
                connections=UNSET if user_id is None else await self._connections_of(user_id),
            )
        )

    async def health(self) -> Response:
        health = self._node.health
        return answer(health.body(), 200 if health.is_ok else 503)

    async def _connections_of(self, user_id: UserId) -> list[rest.OwnConnection]:
        """Everywhere, as the registry says; without Redis, here."""
        try:
            records = await self._node.on.registry.connections_of(user_id)
        except HoldfastError:
            return [
                rest.OwnConnection(
                    connection_id=connection.connection_id,
                    instance_id=self._node.instance_id,
                    connected_at=rfc3339(connection.connected_at_ms),
                )
                for connection in self._node.hub.connections_of(user_id)
            ]
        return [
            rest.OwnConnection(
                connection_id=record.connection_id, instance_id=record.instance_id, connected_at=record.connected_at
            )
            for record in records
        ]

    def _page_answer(self, who: Caller, page: "_EncodedConversations | _EncodedMessages") -> Response:
        found = answer(page)
        self._gate.charge_page(who.user_id, len(found.body))
        return found

    def _caller(self, request: Request) -> Caller:
        return caller(request, self._gate)


def _resolve(future: "asyncio.Future[T]") -> Callable[[T], None]:
    """A callback that answers the calls that still wait."""

    def resolve(result: T) -> None:
        if not future.done():
            future.set_result(result)

    return resolve


def _at(at_ms: int | None) -> str | None:
    return rfc3339(at_ms) if at_ms else None  # 0: the time was not known yet


def _stored(message: Message, read: dict[UserId, tuple[Seq, Seq]]) -> rest.StoredMessage:
    """`read`: see `ConversationService.messages`."""
    frame = message_frame(message)
    spans = ((str(user), after < message.seq <= upto) for user, (after, upto) in read.items() if user != message.sender)
    readers = sorted(user for user, has_read in spans if has_read)
    fields = {name: getattr(frame, name) for name in frame.__struct_fields__}
    return rest.StoredMessage(**fields, read_by=readers if read else UNSET)


def _cursor(key: PageKey) -> str:
    return base64.urlsafe_b64encode(f"{key.last_active_at_ms}:{key.conversation_id}".encode()).decode().rstrip("=")


def _page_key(cursor: str | None) -> PageKey | None:
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode("ascii")
    except (ValueError, binascii.Error):
        text = ""
    at, _, conversation_id = text.partition(":")
    if not (at.isdecimal() and len(at) <= _MAX_TIME_DIGITS):
        raise InvalidRequest("not a cursor of ours", field="cursor")
    return PageKey(int(at), ConversationId(ids.check_id(conversation_id, "cursor")))
