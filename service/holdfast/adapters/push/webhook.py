"""Offline notifications to one configured endpoint, signed as Standard Webhooks has it.

https://github.com/standard-webhooks/standard-webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`, which is
`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. The id stays the same over all attempts, so a receiver that keeps
the ids it has seen gets each notification once; `Idempotency-Key` says the same to gateways. Redirects are answers like any
other that is not 2xx: a signed request goes to the configured endpoint or nowhere.
"""

import base64
import hashlib
import hmac
from typing import Final

import httpx
import msgspec

from holdfast.domain.ids import message_id
from holdfast.domain.notifications import Notification, notification_id
from holdfast.errors import PushFailed
from holdfast.ports import Clock
from holdfast.protocol.jsontext import rfc3339

_CONNECTIONS: Final = 8  # as many as are pushed at once
_FINAL: Final = frozenset((400, 404, 405, 410, 413, 415, 422))  # the same request will be refused again
_TYPE: Final = "message.offline"


class WebhookNotifier:
    """Implements `ports.Notifier`."""

    def __init__(self, url: str, secret: str, timeout_seconds: float, clock: Clock) -> None:
        """Connects with the first push. `secret`: `whsec_` and a key in base64."""
        self._url = url
        self._clock = clock
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        self._http = httpx.AsyncClient(timeout=timeout_seconds, limits=limits, follow_redirects=False, trust_env=False)

    async def push(self, notification: Notification) -> None:
        """See `Notifier.push`. The answer's body is not read: a large one costs no memory."""
        body = encode(notification)
        headers = signed(self._key, request_id(notification), self._clock.now_ms() // 1000, body)
        try:
            async with self._http.stream("POST", self._url, content=body, headers=headers) as answer:
                status = answer.status_code
        except httpx.HTTPError as error:
            raise PushFailed(f"the webhook was not reached: {type(error).__name__}", is_final=False) from None
        if not 200 <= status < 300:
            raise PushFailed(f"the webhook answered {status}", is_final=status in _FINAL)

    async def close(self) -> None:
        """See `Notifier.close`."""
        await self._http.aclose()


def request_id(notification: Notification) -> str:
    """One for each message and user: the record of a large conversation is made anew once its user has read."""
    return notification_id(notification.conversation_id, notification.user_id, notification.seq, member_count=0)


def encode(notification: Notification) -> bytes:
    """The body: `{type, timestamp, data}`."""
    return msgspec.json.encode(
        {
            "type": _TYPE,
            "timestamp": rfc3339(notification.created_at_ms),
            "data": {
                "notification_id": notification.notification_id,
                "user_id": notification.user_id,
                "conversation_id": notification.conversation_id,
                "seq": notification.seq,
                "message_id": message_id(notification.seq),
                "sender": notification.sender,
                "preview": notification.preview,
            },
        }
    )


def signed(key: bytes, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a request; `timestamp`: Unix seconds of this attempt."""
    text = b"%b.%d.%b" % (webhook_id.encode(), timestamp, body)
    signature = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "Idempotency-Key": webhook_id,
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
