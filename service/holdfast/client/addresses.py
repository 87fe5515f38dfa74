"""Addresses of the service, as applications name them."""

from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def base_urls(urls: Sequence[str]) -> list[str]:
    """`https://host/path` of each, without `/ws`; the caller appends the rest.

    Raises:
        TypeError: one text in place of several addresses.
        ValueError: no address at all, or a text that is not an address; a password in it is not repeated.
    """
    if isinstance(urls, str):
        raise TypeError("urls: a list of addresses expected, not one text")
    if not urls:
        raise ValueError("at least one URL is needed")
    return [_base(url) for url in urls]


def _base(url: str) -> str:
    parts = _split(url)
    scheme = _SCHEMES.get(parts.scheme)
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address names a user: a token is given by itself")
    if scheme is None or not parts.hostname:
        raise ValueError(f"{'an address' if '@' in url else repr(url)}: expected http(s)://host or ws(s)://host")
    path = parts.path.rstrip("/").removesuffix("/ws")
    return f"{scheme}://{parts.netloc}{path}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        raise ValueError("an address is malformed: expected http(s)://host or ws(s)://host") from None
    return parts
