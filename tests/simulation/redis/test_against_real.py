"""The simulated Redis and a real one are asked the same, and answer the same."""

import random
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from simulation.redis.commands import COMMANDS, CONTAINERS
from simulation.redis.comparing import Difference, Ours, Theirs, differences, is_same
from simulation.redis.sampling import KEYS, Sampler
from simulation.redis.sampling_scripts import ALL, ScriptSampler
from simulation.redis.server import RedisServer
from support.redis_server import SYSTEM, require_binary
from support.redis_server import RedisServer as RealRedis

COUNT = 20_000
SCRIPTS = 8_000
DOCUMENTS = 5_000
BATCH = 500
KIND = "7.0."  # error texts differ between versions


@pytest.fixture
async def real() -> AsyncIterator[Theirs]:
    """A connection to a fresh Redis of the version that is simulated."""
    server = RealRedis(require_binary(SYSTEM))
    await server.start()
    theirs = Theirs(server.port)
    (about,) = theirs.ask([b"INFO", b"server"])
    if f"redis_version:{KIND}".encode() not in about:
        pytest.skip(f"another version of Redis than {KIND}x, which is simulated")
    yield theirs
    theirs.close()
    server.close()


@pytest.fixture
def simulated() -> Iterator[RedisServer]:
    """A fresh one, on the machine's clock; nothing may be asked of it that it does not know."""
    server = RedisServer(time.time, random.Random(1))
    yield server
    assert server.state.unsupported == []


def report(found: list[Difference]) -> str:
    """The first few."""
    return f"{len(found)} differ\n" + "\n".join(map(str, found[:8]))


def contents() -> list[list[bytes]]:
    """Commands that show all that the sampled keys hold."""
    shown = []
    for key in KEYS:
        shown += [[b"TYPE", key], [b"PTTL", key], [b"GET", key], [b"HGETALL", key], [b"SMEMBERS", key]]
        shown.append([b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"])
    return [[b"KEYS", b"*"], *shown]


async def test_twenty_thousand_random_commands_are_answered_alike(real: Theirs, simulated: RedisServer) -> None:
    """What a simulation over it finds would otherwise be about a Redis that does not exist."""
    sampler, ours = Sampler(random.Random(20)), Ours(simulated)
    for _ in range(COUNT // BATCH):
        batch = [sampler.draw() for _ in range(BATCH)] + contents()
        found = differences(batch, [ours.ask(words) for words in batch], real.ask(*batch))
        assert not found, report(found)


async def test_every_script_of_holdfast_is_answered_alike(real: Theirs, simulated: RedisServer) -> None:
    """Among random commands that spoil what the scripts left, so that they meet keys of other types and garbage."""
    (about,) = real.ask([b"INFO", b"everything"])
    fields = dict(line.split(":", 1) for line in about.decode().splitlines() if ":" in line)
    simulated.state.run_id, simulated.state.replication.ids = fields["run_id"], (fields["master_replid"], "")
    randomness = random.Random(21)
    scripts, sampler, ours = ScriptSampler(randomness), Sampler(randomness), Ours(simulated)
    for _ in range(SCRIPTS // BATCH):
        batch, mine = [], []
        for _ in range(BATCH):
            is_script = randomness.random() < 0.9
            batch.append(scripts.draw() if is_script else sampler.draw())
            mine.append(ours.ask(batch[-1]))
            if is_script:
                scripts.learn(mine[-1])
        found = differences(batch + contents(), mine + [ours.ask(words) for words in contents()], real.ask(*batch, *contents()))
        assert not found, report(found)
    assert scripts.drawn == set(ALL)


# What `cjson.decode` makes of a text, written out; a table's names in order.
READ_JSON = b"""
local function shown(value)
  if type(value) ~= 'table' then return type(value) .. ' ' .. (type(value) == 'userdata' and 'null' or tostring(value)) end
  local parts = {}
  for name, part in pairs(value) do parts[#parts + 1] = shown(name) .. '=' .. shown(part) end
  table.sort(parts)
  return '{' .. table.concat(parts, ',') .. '}'
end
local ok, value = pcall(cjson.decode, ARGV[1])
return ok and shown(value) or 'refused'
"""


async def test_json_is_read_and_refused_alike(real: Theirs, simulated: RedisServer) -> None:
    """Scripts decode values that another program wrote into a key: cjson accepts more than JSON, and less."""
    sampler, ours = Sampler(random.Random(22)), Ours(simulated)
    batch = [[b"EVAL", READ_JSON, b"0", sampler.document()] for _ in range(DOCUMENTS)]
    mine = [ours.ask(words) for words in batch]
    found = differences(batch, mine, real.ask(*batch))
    assert not found, report(found)
    assert DOCUMENTS // 20 < mine.count(b"refused") < DOCUMENTS - DOCUMENTS // 20


async def test_its_commands_have_redis_s_arities_flags_and_keys(real: Theirs) -> None:
    """They decide when a command is refused: OOM, READONLY, LOADING, within a script, without a right to a key."""
    ours = {each.name: each for each in COMMANDS.values()}
    for found in real.ask([b"COMMAND", b"INFO", *(name.encode() for name in ours)])[0]:
        command = ours.pop(found[0].decode())
        assert (command.arity, command.flags) == (found[1], frozenset(flag.decode() for flag in found[2]))
        assert (command.first_key, command.last_key, command.key_step) == tuple(found[3:6])
    assert ours == {}
    for container, subcommands in CONTAINERS.items():
        theirs = {each[0].decode(): each for each in real.ask([b"COMMAND", b"INFO", container])[0][0][9]}
        for command in subcommands.values():
            found = theirs[command.name]
            assert (command.arity, command.flags) == (found[1], frozenset(flag.decode() for flag in found[2]))


HANDSHAKES = """
PING|PING x|PING a b|CLIENT SETNAME holdfast:one|CLIENT SETNAME a\x01b|CLIENT SETINFO LIB-NAME x|CLIENT|AUTH x
AUTH u x|AUTH a b c|AUTH default x|SELECT 0|SELECT 16|SELECT x|SUBSCRIBE|SUBSCRIBE a|SUBSCRIBE a|PING|PING x|GET a
PUBLISH a b|UNSUBSCRIBE a|GET a|UNSUBSCRIBE|UNSUBSCRIBE b|PUBSUB CHANNELS|SCRIPT LOAD x(|SCRIPT FLUSH|SCRIPT FLUSH x
SCRIPT FLUSH ASYNC|EVAL x( 0|EVAL x -1|EVAL x 2 a|EVAL x x|CONFIG SET maxmemory 1|SET a 1
EVAL redis.call('SET','a','1') 0|EVAL redis.call('DEL','a')redis.call('SET','a','1') 0|DEL a|PUBLISH a b
EVAL redis.pcall('SET','a','1')return(redis.call('SET','b','1')) 0
EVAL redis.call('PUBLISH','a','1')redis.call('SET','a','1') 0|HSET h a b|HDEL h a|ZADD z 1 a|SADD s a
CONFIG GET maxmemory|CONFIG SET maxmemory 1mb|CONFIG GET maxmemory|CONFIG SET maxmemory 0|SET a 1|CONFIG SET no 1
CONFIG SET maxmemory x|CONFIG SET maxmemory|CONFIG GET no|CONFIG|CONFIG RESETSTAT|CONFIG GET maxmemory-policy
FLUSHALL x|REPLICAOF 127.0.0.1 1|SET a 1|GET a|EVAL redis.call('SET','a','1') 0|EVAL return(redis.pcall('DEL','a')) 0
REPLICAOF NO ONE|SET a 1|ROLE|REPLICAOF x y|REPLICAOF x 70000|ACL SETUSER default -info|INFO|EVAL redis.call('INFO') 0
EVAL return(redis.pcall('INFO')) 0|ACL SETUSER default +info resetchannels|PUBLISH x y|SUBSCRIBE x
EVAL redis.call('PUBLISH','a','b') 0|ACL SETUSER default &a*|PUBLISH a y|PUBLISH b y
ACL SETUSER default allchannels resetkeys ~a*|GET s|GET a|DEL a s|EVAL redis.call('GET','s') 0|EVAL x 1 s
ACL SETUSER default ~*|ACL SETUSER default ~*|ACL SETUSER default allkeys -get|GET s
ACL SETUSER default +@all -config|set -eval|CONFIG SET a b|CONFIG GET no|EVAL x 0|ACL SETUSER default +@all no
ACL SETUSER default +no|CLIENT KILL ID 99999|CLIENT KILL TYPE no|CLIENT KILL NO x|CLIENT KILL 1.2.3.4:5
CLIENT KILL TYPE pubsub|CLIENT KILL TYPE pubsub SKIPME x|ACL SETUSER default -config +config|set|CONFIG GET no
CONFIG SET no 1|ACL SETUSER default -config|CONFIG SET no 1|CONFIG|ACL SETUSER default +@all|CONFIG SET requirepass pw
GET a|ACL SETUSER bob on >pw ~* &* +@all|AUTH bob no|AUTH bob pw|CONFIG SET requirepass|INFO no
EVAL return(redis.call('INFO','no')) 0|SAVE
"""
NEEDS_A_WORD_WITH_A_BAR = "config|set"


def handshakes() -> list[list[bytes]]:
    """The commands above; a bar separates them, but within a rule of an ACL."""
    text = HANDSHAKES.strip().replace("\n", "|").replace(NEEDS_A_WORD_WITH_A_BAR, "config\0set")
    return [[word.replace("\0", "|").replace("\x01", " ").encode() for word in line.split()] for line in text.split("|")]


async def test_handshakes_refusals_and_rights_are_answered_alike(real: Theirs, simulated: RedisServer) -> None:
    """The adapter reads these texts: it explains denials, and connects anew where a primary was demoted."""
    ours = Ours(simulated)
    for words in handshakes():
        (theirs,) = real.ask(words)
        mine = ours.ask(words)
        assert is_same(words, theirs, mine), str(Difference(words, theirs, mine))
