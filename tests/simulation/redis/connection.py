"""Commands about the connection that they come by: the handshake of redis-py, names, the list of clients and their end."""

from collections.abc import Callable
from typing import Final

from simulation.redis.commands import command
from simulation.redis.replies import OK, SYNTAX, Refused, Reply, Status, Unsupported, integer
from simulation.redis.state import Client, State
from simulation.redis.users import DEFAULT

_WRONG_PASSWORD: Final = "WRONGPASS invalid username-password pair or user is disabled."
_NO_PASSWORD: Final = (
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
)
_BAD_NAME: Final = "ERR Client names cannot contain spaces, newlines or special characters."


@command("ping", -1, "fast")
def ping(state: State, client: Client, words: list[bytes]) -> Reply:
    if len(words) > 1:
        raise Refused("ERR wrong number of arguments for 'ping' command")
    if client.channels:
        return [b"pong", words[0] if words else b""]
    return words[0] if words else Status(b"PONG")


@command("select", 2, "loading stale fast")
def select(state: State, client: Client, words: list[bytes]) -> Reply:
    number = integer(words[0])
    if not 0 <= number < 16:
        raise Refused("ERR DB index is out of range")
    if number:
        raise Unsupported("more than one database")
    return OK


@command("auth", -2, "noscript loading stale fast no_auth allow_busy")
def auth(state: State, client: Client, words: list[bytes]) -> Reply:
    if len(words) > 2:
        raise Refused(SYNTAX)
    if len(words) == 1 and state.users[DEFAULT].needs_no_password:
        raise Refused(_NO_PASSWORD)
    name = words[0] if len(words) == 2 else DEFAULT
    user = state.users.get(name)
    if user is None or not user.accepts(words[-1]):
        raise Refused(_WRONG_PASSWORD)
    client.user = name
    client.is_authenticated = True
    return OK


# --- CLIENT -------------------------------------------------------------------------------------------------------------


def _checked(name: bytes) -> bytes:
    if any(not 33 <= letter <= 126 for letter in name):
        raise Refused(_BAD_NAME)
    return name


@command("client|setname", 3, "noscript loading stale")
def setname(state: State, client: Client, words: list[bytes]) -> Reply:
    client.name = _checked(words[0])
    return OK


@command("client|id", 2, "noscript loading stale")
def client_id(state: State, client: Client, words: list[bytes]) -> Reply:
    return client.number


@command("client|list", -2, "admin noscript loading stale")
def client_list(state: State, client: Client, words: list[bytes]) -> Reply:
    if words:
        raise Unsupported("CLIENT LIST with a filter")
    return b"".join(_line(state, each) for each in state.clients.values())


def _line(state: State, client: Client) -> bytes:
    age = int(state.clock() - client.opened_at)
    flags = "P" if client.channels else "N"
    text = (
        f"id={client.number} addr={client.address} laddr=127.0.0.1:{state.port} fd=8 name={client.name.decode()} age={age} "
        f"idle=0 flags={flags} db=0 sub={len(client.channels)} psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 "
        f"rbs=1024 rbp=0 obl=0 oll=0 omem=0 tot-mem=1024 events=r cmd={client.last_command} user={client.user.decode()} "
        "redir=-1 resp=2\n"
    )
    return text.encode()


Filter = Callable[[Client], bool]


@command("client|kill", -3, "admin noscript loading stale")
def client_kill(state: State, client: Client, words: list[bytes]) -> Reply:
    if len(words) == 1:
        if not _drop(state, client, [lambda each: each.address.encode() == words[0]], skips_itself=False):
            raise Refused("ERR No such client")
        return OK
    if len(words) % 2:
        raise Refused(SYNTAX)
    filters, skips_itself = [], True
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option.upper() == b"SKIPME" and value.lower() in (b"yes", b"no"):
            skips_itself = value.lower() == b"yes"
        else:
            filters.append(_filter(option.upper(), value))
    return _drop(state, client, filters, skips_itself=skips_itself)


def _filter(option: bytes, value: bytes) -> Filter:
    if option == b"ID":
        number = integer(value, "ERR client-id should be greater than 0")
        return lambda each: each.number == number
    if option != b"TYPE":
        raise Refused(SYNTAX)
    kind = value.lower()
    if kind not in (b"normal", b"master", b"slave", b"replica", b"pubsub"):
        raise Refused(b"ERR Unknown client type '%b'" % value)
    return lambda each: kind == (b"pubsub" if each.channels else b"normal")


def _drop(state: State, client: Client, filters: list[Filter], *, skips_itself: bool) -> int:
    count = 0
    for each in list(state.clients.values()):
        if (each is client and skips_itself) or not all(matched(each) for matched in filters):
            continue
        count += 1
        if each is client:
            each.has_quit = True
        else:
            each.drop()
    return count
