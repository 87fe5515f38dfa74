"""Small JSON bodies that the front itself takes: from this machine's own pages, and from no other site's."""

import asyncio
import json
import re

from holdfast.cli.front.head import Head, HeadRefused

_BODY_SECONDS = 3.0  # as a head has
_FORM_BYTES = 1_024
_FORM_DIGITS = 4
_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.IGNORECASE)


async def fields(head: Head, reader: asyncio.StreamReader, *names: str) -> list[str]:
    """The values of these fields, each a string.

    Raises:
        HeadRefused: it is no such form, or may come from a page of another site.
    """
    wanted = f"{{{', '.join(names)}}}"
    _check(head, wanted)
    length = head.header("content-length")
    if not (length.isascii() and length.isdecimal() and len(length) <= _FORM_DIGITS and int(length) <= _FORM_BYTES):
        raise HeadRefused(413, f"send a Content-Length of at most {_FORM_BYTES}")
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            form = json.loads(await reader.readexactly(int(length)))
    except TimeoutError:
        raise HeadRefused(408, f"the body took more than {_BODY_SECONDS:g} s") from None
    except (ValueError, RecursionError):
        raise HeadRefused(400, "not JSON") from None
    given = [form.get(name) for name in names] if isinstance(form, dict) else []
    values = [value for value in given if isinstance(value, str)]
    if len(values) < len(names):
        raise HeadRefused(400, f"send {wanted}")
    return values


def _check(head: Head, wanted: str) -> None:
    if head.method != "POST":
        raise HeadRefused(405, f"POST {wanted}")
    check_host(head)
    if head.header("content-type").partition(";")[0].strip().lower() != "application/json":
        raise HeadRefused(415, "send application/json")  # other types cross origins without being asked for


def check_host(head: Head) -> None:
    """The request was sent to this machine by its name.

    Raises:
        HeadRefused: by another name, which a foreign page may make resolve to this machine (DNS rebinding).
    """
    if _LOOPBACK.fullmatch(head.header("host")) is None:
        raise HeadRefused(400, "this is for localhost")
