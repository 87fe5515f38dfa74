"""OpenAPI and AsyncAPI, made of the types that the code validates with: what they say cannot drift from what it does."""

import re
from functools import cache
from typing import Any, Final

import msgspec

from holdfast import __version__
from holdfast.protocol import frames, rest
from holdfast.protocol.codes import CODES

_TOKEN: Final = ("unauthenticated", "token_expired", "token_revoked", "token_too_early", "store_unavailable")
_EVERYWHERE: Final = (*_TOKEN, "rate_limited", "store_unavailable", "internal_error")
_CONVERSATION: Final = ("invalid_request", "conversation_not_found")
_BODY: Final = ("invalid_json", "invalid_request", "body_too_large", "unsupported_media_type")

# (method, path, operation id, summary, body, {status: answer}, error codes beyond those everywhere)
OPERATIONS: Final[tuple[tuple[str, str, str, str, Any, dict[int, Any], tuple[str, ...]], ...]] = (
    ("post", "/api/conversations", "createConversation", "Create a conversation", rest.CreateConversation,
     {201: frames.Summary, 200: frames.Summary}, (*_BODY, "conversation_exists", "limit_reached")),
    ("get", "/api/conversations", "listConversations", "Your conversations, newest activity first", None,
     {200: rest.ConversationPage}, ("invalid_request",)),
    ("put", "/api/conversations/direct/{user_id}", "openDirect", "Open the direct conversation with a user", None,
     {201: frames.Summary, 200: frames.Summary}, ("invalid_request", "conversation_exists", "limit_reached")),
    ("get", "/api/conversations/{conversation_id}", "getConversation", "One conversation, with its members", None,
     {200: rest.ConversationDetail}, _CONVERSATION),
    ("patch", "/api/conversations/{conversation_id}", "updateConversation", "Change title or metadata", rest.UpdateConversation,
     {200: frames.Summary}, (*_BODY, "conversation_not_found", "forbidden")),
    ("put", "/api/conversations/{conversation_id}/members/{user_id}", "addMember", "Add a member", None,
     {201: frames.Summary, 200: frames.Summary}, (*_CONVERSATION, "forbidden", "limit_reached")),
    ("delete", "/api/conversations/{conversation_id}/members/{user_id}", "removeMember", "Remove a member, or leave", None,
     {204: None}, (*_CONVERSATION, "forbidden")),
    ("get", "/api/conversations/{conversation_id}/messages", "listMessages", "A page of messages, ascending", None,
     {200: rest.MessagePage}, _CONVERSATION),
    ("post", "/api/conversations/{conversation_id}/messages", "sendMessage", "Send a message", rest.SendMessage,
     {201: rest.Acknowledged, 200: rest.Acknowledged}, (*_BODY, "conversation_not_found", "idempotency_conflict", "overloaded")),
    ("post", "/api/conversations/{conversation_id}/typing", "setTyping", "Tell the others that you type", rest.SetTyping,
     {200: rest.TypingSet}, (*_BODY, "conversation_not_found")),
    ("post", "/api/conversations/{conversation_id}/messages/{message_id}/read", "markRead", "Everything up to it is read", None,
     {200: rest.ReadReceipt}, (*_CONVERSATION, "message_not_found", "overloaded")),
    ("get", "/api/users/{user_id}/presence", "getPresence", "Whether a user is online", None,
     {200: rest.PresenceView}, ("invalid_request", "user_not_found")),
    ("delete", "/api/users/{user_id}/connections", "closeConnections", "Close a user's sockets, refuse older tokens", None,
     {204: None}, ("invalid_request", "forbidden")),
    ("delete", "/api/users/{user_id}/tokens/{token_id}", "revokeToken", "Refuse one token of a user, close its sockets", None,
     {204: None}, ("invalid_request", "forbidden", "limit_reached")),
    ("delete", "/api/connections", "logOut", "Close your sockets everywhere, refuse older tokens", None, {204: None}, ()),
    ("delete", "/api/tokens/current", "revokeOwnToken", "Refuse the token of this call, close its sockets", None,
     {204: None}, ("invalid_request", "limit_reached")),
    ("get", "/api/blocks", "listBlocks", "The users that you block", None, {200: rest.BlockList}, ()),
    ("put", "/api/blocks/{user_id}", "blockUser", "Block a user", None, {204: None}, ("invalid_request", "limit_reached")),
    ("delete", "/api/blocks/{user_id}", "unblockUser", "Block a user no more", None, {204: None}, ("invalid_request",)),
    ("get", "/api/connections/stats", "connectionStats", "Counts of this instance", None,
     {200: rest.ConnectionStats}, (*_TOKEN, "internal_error")),
    ("get", "/api/connections/info", "connectionInfo", "Counts, and your own connections", None,
     {200: rest.ConnectionInfo}, (*_TOKEN, "internal_error")),
    ("get", "/api/health", "health", "How this instance is", None,
     {200: dict[str, Any], 503: dict[str, Any]}, ("internal_error",)),
)  # fmt: skip
_OPEN: Final = ("connectionStats", "connectionInfo", "health")  # answer without a token, too; a bad one is refused
_IN_PATHS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "message_id": (frames.MESSAGE_ID_SCHEMA, "000000000042"),
    "conversation_id": (frames.ID_SCHEMA, "team-42"),
    "token_id": ({"type": "string", "pattern": f"^{rest.JTI}$"}, "tQ5x0cXk9yQ2"),
}
_QUERIES: Final = {
    "listConversations": (("limit", "integer"), ("cursor", "string")),
    "revokeToken": (("exp", "integer"),),
    "listMessages": (("after_seq", "integer"), ("before_seq", "integer"), ("limit", "integer")),
}


@cache
def openapi() -> bytes:
    """The OpenAPI 3.1 document, encoded."""
    types = [t for *_, body, answers, _ in OPERATIONS for t in (body, *answers.values()) if t is not None]
    schemas, components = msgspec.json.schema_components((*types, rest.Problem), ref_template="#/components/schemas/{name}")
    schema_of = dict(zip((*map(repr, types), repr(rest.Problem)), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for method, path, operation_id, text, body, answers, codes in OPERATIONS:
        operation: dict[str, Any] = {"operationId": operation_id, "summary": text, "tags": [path.split("/")[2]]}
        parameters = [_path_parameter(name) for name in re.findall(r"{(\w+)}", path)]
        parameters += [_query_parameter(name, kind) for name, kind in _QUERIES.get(operation_id, ())]
        if parameters:
            operation["parameters"] = parameters
        if body is not None:
            content = {"application/json": {"schema": schema_of[repr(body)]}}
            operation["requestBody"] = {"required": body is not rest.SetTyping, "content": content}
        operation["responses"] = {
            str(status): _response(schema_of[repr(kind)] if kind is not None else None) for status, kind in answers.items()
        } | _problems(codes if operation_id in _OPEN else (*_EVERYWHERE, *codes), schema_of[repr(rest.Problem)], answers)
        operation["security"] = [{}, {"bearer": []}] if operation_id in _OPEN else [{"bearer": []}]
        paths.setdefault(path, {})[method] = operation
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": __version__,
            "description": "The same commands as the socket's, the same rules, the same codes.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }
    return msgspec.json.encode(document)


@cache
def asyncapi() -> bytes:
    """The AsyncAPI 3.0 document, encoded."""
    sent = frames.AnyClientFrame.__args__
    received = frames.AnyServerFrame.__args__
    types = (*sent, *received)
    refs, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    messages = {
        kind.__name__: {"name": kind.__struct_config__.tag, "summary": (kind.__doc__ or "").strip(), "payload": ref}
        for kind, ref in zip(types, refs, strict=True)
    }
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Holdfast socket",
            "version": __version__,
            "description": "Subprotocol `holdfast.v1`, JSON text frames.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "socket": {
                "address": "/ws",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            "clientSends": _operation("receive", sent, "What clients send"),
            "clientReceives": _operation("send", received, "What clients receive"),
        },
        "components": {"messages": messages, "schemas": components},
    }
    return msgspec.json.encode(document)


def _operation(action: str, kinds: tuple[Any, ...], text: str) -> dict[str, Any]:
    return {
        "action": action,
        "summary": text,
        "channel": {"$ref": "#/channels/socket"},
        "messages": [{"$ref": f"#/channels/socket/messages/{kind.__name__}"} for kind in kinds],
    }


def _path_parameter(name: str) -> dict[str, Any]:
    schema, example = _IN_PATHS.get(name, (frames.ID_SCHEMA, "user123"))
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": schema,
        "example": example,
    }


def _query_parameter(name: str, kind: str) -> dict[str, Any]:
    limits: dict[str, Any] = {"pattern": "^[A-Za-z0-9_-]+$"}  # a cursor: as `next_cursor` was
    if kind == "integer":
        limits = {"minimum": 1, "maximum": 200} if name == "limit" else {"minimum": 0, "maximum": frames.MAX_SEQ}
    return {"name": name, "in": "query", "required": False, "schema": {"type": kind, **limits}}


def _response(schema: Any) -> dict[str, Any]:
    if schema is None:
        return {"description": "Done"}
    return {"description": "Done", "content": {"application/json": {"schema": schema}}}


def _problems(codes: tuple[str, ...], schema: Any, answers: dict[int, Any]) -> dict[str, Any]:
    """One response per status, with the codes that it may carry."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        status = CODES[code].status
        if status is not None and status not in answers:
            by_status.setdefault(status, []).append(code)
    return {
        str(status): {
            "description": ", ".join(names),
            "content": {"application/problem+json": {"schema": {"allOf": [schema, {"properties": {"code": {"enum": names}}}]}}},
        }
        for status, names in sorted(by_status.items())
    }
