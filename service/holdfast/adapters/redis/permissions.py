"""Explains Redis's refusal of a password or a right: names the setting or the ACL rule to mend.

Pure. Redis's own text is kept behind it: versions word it differently, and only the rule that is missing is looked for.
"""

from typing import Final

_DENIED: Final = "Redis denies "
_AUTHENTICATION: Final = (
    "wrongpass",
    "noauth",
    "invalid username-password",
    "authentication required",
    "without any password configured",
)
_PERMISSION: Final = ("noperm", "no permission")


def explained(text: str) -> str:
    """`text`, with the remedy before it when it is about a password or a right."""
    lower = text.lower()
    if _DENIED.lower() in lower:
        return text
    if any(word in lower for word in _AUTHENTICATION):
        return f"{_DENIED}the user or password (HOLDFAST_REDIS__URL, HOLDFAST_REDIS__PASSWORD): {text}"
    if not any(word in lower for word in _PERMISSION):
        return text
    if "channel" in lower:
        return f"{_DENIED}its user the channels, which instances meet on (ACL rule &*): {text}"
    if "key" in lower:
        return f"{_DENIED}its user keys that instances need (ACL rule ~*): {text}"
    return f"{_DENIED}its user a command that instances need (ACL rule +@all): {text}"


def is_denial(text: str) -> bool:
    """Whether `text` comes from `explained` and is about a password or a right: waiting does not help."""
    return _DENIED in text
