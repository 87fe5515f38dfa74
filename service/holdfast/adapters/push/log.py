"""Offline notifications as lines of the log: for trials, and for operators who collect logs anyway."""

import logging

from holdfast.domain.notifications import Notification

_log = logging.getLogger("holdfast.push")


class LogNotifier:
    """Implements `ports.Notifier`. What people wrote does not belong into a log: the line says who, where and which."""

    async def push(self, notification: Notification) -> None:
        """See `Notifier.push`."""
        fields = {
            "user": notification.user_id,
            "conversation_id": notification.conversation_id,
            "seq": notification.seq,
            "sender": notification.sender,
            "notification_id": notification.notification_id,
        }
        _log.info("offline notification", extra={"fields": fields})

    async def close(self) -> None:
        """See `Notifier.close`."""
