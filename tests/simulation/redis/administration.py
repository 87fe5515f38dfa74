"""What an operator asks of a server: INFO, CONFIG, ACL, the clock, copies, roles."""

import re
from collections.abc import Callable
from typing import Final

from simulation.redis.commands import COMMANDS, CONTAINERS, command
from simulation.redis.replies import OK, Refused, Reply, Unsupported, integer
from simulation.redis.state import VERSION, Client, State
from simulation.redis.users import DEFAULT, User, matches

_UNITS: Final = {
    "": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3,
}  # fmt: skip
_MEMORY: Final = re.compile(r"([0-9]+)([kmg]?b?)")
_SLACK_BYTES: Final = 1_048_576  # what an empty server uses


@command("time", 1, "loading stale fast")
def time(state: State, client: Client, words: list[bytes]) -> Reply:
    micros = int(state.clock() * 1_000_000)
    return [b"%d" % (micros // 1_000_000), b"%d" % (micros % 1_000_000)]


@command("save", 1, "admin noscript no_async_loading no_multi")
def save(state: State, client: Client, words: list[bytes]) -> Reply:
    state.on_disk = state.keyspace.snapshot(state.replication.ids[0])
    return OK


@command("role", 1, "noscript loading stale fast")
def role(state: State, client: Client, words: list[bytes]) -> Reply:
    if state.replication.upstream is None:
        return [b"master", 0, []]
    host, port = state.replication.upstream
    return [b"slave", host.encode(), port, b"connected" if state.replication.is_linked else b"connect", -1]


@command("replicaof", 3, "admin noscript stale no_async_loading")
def replicaof(state: State, client: Client, words: list[bytes]) -> Reply:
    """Followed by name, nothing is heard: only `RedisServer.attach_replica` makes a replica that hears its primary."""
    if [word.upper() for word in words] == [b"NO", b"ONE"]:
        if state.is_replica:
            state.replication.upstream = None
            state.change_replication_id(keeps_the_old=True)
        return OK
    port = integer(words[1], "ERR Invalid master port")
    if not 0 <= port <= 65535:
        raise Refused("ERR Invalid master port")
    state.replication.upstream, state.replication.is_linked = (words[0].decode(), port), False
    return OK


# --- INFO ---------------------------------------------------------------------------------------------------------------


def _server(state: State) -> dict[str, object]:
    return {
        "redis_version": VERSION,
        "redis_mode": "standalone",
        "arch_bits": 64,
        "process_id": 1,
        "run_id": state.run_id,
        "tcp_port": state.port,
        "server_time_usec": int(state.clock() * 1_000_000),
        "uptime_in_seconds": int(state.clock() - state.started_at),
    }


def _clients(state: State) -> dict[str, object]:
    return {"connected_clients": len(state.clients), "maxclients": 10_000, "blocked_clients": 0}


def _memory(state: State) -> dict[str, object]:
    limits = {"maxmemory": state.config[b"maxmemory"].decode(), "maxmemory_policy": state.config[b"maxmemory-policy"].decode()}
    return {"used_memory": _SLACK_BYTES + state.keyspace.used_bytes(), **limits}


def _persistence(state: State) -> dict[str, object]:
    return {"loading": int(state.is_loading), "rdb_last_bgsave_status": "ok", "aof_enabled": 0}


def _stats(state: State) -> dict[str, object]:
    return {"total_commands_processed": sum(state.calls.values()), "pubsub_channels": len(state.subscribers)}


def _replication(state: State) -> dict[str, object]:
    found: dict[str, object] = {"role": "slave" if state.is_replica else "master"}
    if state.replication.upstream is not None:
        host, port = state.replication.upstream
        status = "up" if state.replication.is_linked else "down"
        found |= {"master_host": host, "master_port": port, "master_link_status": status, "slave_read_only": 1}
    first, second = state.replication.ids
    return found | {"connected_slaves": len(state.feeds), "master_replid": first, "master_replid2": second}


def _keyspace(state: State) -> dict[str, object]:
    keys, deadlines = len(state.keyspace.values), len(state.keyspace.deadlines)
    return {"db0": f"keys={keys},expires={deadlines},avg_ttl=0"} if keys else {}


def _commandstats(state: State) -> dict[str, object]:
    rest = "usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0"
    return {f"cmdstat_{name}": f"calls={count},{rest}" for name, count in state.calls.items()}


_SECTIONS: Final[dict[str, Callable[[State], dict[str, object]]]] = {
    "Server": _server,
    "Clients": _clients,
    "Memory": _memory,
    "Persistence": _persistence,
    "Stats": _stats,
    "Replication": _replication,
    "Commandstats": _commandstats,
    "Keyspace": _keyspace,
}


@command("info", -1, "loading stale")
def info(state: State, client: Client, words: list[bytes]) -> Reply:
    wanted = {word.decode(errors="replace").lower() for word in words}
    takes_all = not wanted or bool(wanted & {"all", "everything", "default"})
    found = []
    for name, section in _SECTIONS.items():
        is_asked = name.lower() in wanted
        if is_asked or (takes_all and (name != "Commandstats" or wanted & {"all", "everything"})):
            lines = [f"# {name}", *(f"{key}:{value}" for key, value in section(state).items())]
            found.append("".join(f"{line}\r\n" for line in lines))
    return "\r\n".join(found).encode()


# --- CONFIG -------------------------------------------------------------------------------------------------------------


@command("config|get", -3, "admin noscript loading stale")
def config_get(state: State, client: Client, words: list[bytes]) -> Reply:
    patterns = [word.lower() for word in words]
    found = {name: value for name, value in state.config.items() if any(matches(each, name) for each in patterns)}
    return [part for pair in found.items() for part in pair]


@command("config|set", -4, "admin noscript loading stale")
def config_set(state: State, client: Client, words: list[bytes]) -> Reply:
    if len(words) % 2:
        raise Refused("ERR wrong number of arguments for 'config|set' command")
    changes = {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}
    for name in changes:
        if name not in state.config:
            raise Refused(b"ERR Unknown option or number of arguments for CONFIG SET - '%b'" % name)
    for name, value in changes.items():
        configure(state, name, value)
    return OK


def configure(state: State, name: bytes, value: bytes) -> None:
    """One setting, also on the command line of a server.

    Raises:
        Refused: it cannot have that value.
        Unsupported: nothing here would follow it.
    """
    if name == b"maxmemory":
        value = b"%d" % _memory_value(value)
    elif name == b"requirepass":
        default = state.users[DEFAULT]
        default.passwords, default.needs_no_password = ([value] if value else []), not value
    elif name == b"maxmemory-policy" and value.lower() != b"noeviction":
        raise Unsupported(f"maxmemory-policy {value.decode()}")
    state.config[name] = value


def _memory_value(text: bytes) -> int:
    found = _MEMORY.fullmatch(text.decode(errors="replace").lower())
    if found is None:
        raise Refused("ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value")
    return int(found[1]) * _UNITS[found[2]]


@command("config|resetstat", 2, "admin noscript loading stale")
def config_resetstat(state: State, client: Client, words: list[bytes]) -> Reply:
    state.calls.clear()
    return OK


# --- ACL ----------------------------------------------------------------------------------------------------------------


@command("acl|setuser", -3, "admin noscript loading stale")
def acl_setuser(state: State, client: Client, words: list[bytes]) -> Reply:
    name, *rules = words
    before = state.users.get(name)
    user = before.copy() if before is not None else User.restricted(name)
    for rule in rules:
        if rule == b"reset":
            user = User.restricted(name)
        else:
            user.change(rule, _names())
    state.users[name] = user
    for each in list(state.clients.values()):
        if each.user == name and not user.may_hear(list(each.channels)):
            each.drop()
    return OK


def _names() -> set[str]:
    inside = {each.name for subcommands in CONTAINERS.values() for each in subcommands.values()}
    return {each.name for each in COMMANDS.values()} | {name.decode().lower() for name in CONTAINERS} | inside
