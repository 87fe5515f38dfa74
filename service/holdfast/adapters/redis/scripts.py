"""The Lua scripts: each is one atomic step, within the commands of Redis 6.2.

Values are data everywhere: nothing from outside becomes part of a script's text. Those of the registry: `registry_scripts`.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

Argument = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text and the hash by which Redis remembers it."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash as Redis does."""
        object.__setattr__(self, "sha", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest())

    def by_hash(self, keys: tuple[str, ...], arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
        """The command for a Redis that knows the script; answered with NOSCRIPT, and nothing done, by one that does not."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)

    def by_source(self, keys: tuple[str, ...], arguments: tuple[Argument, ...]) -> tuple[Argument, ...]:
        """The command for any Redis; teaches it the script."""
        return ("EVAL", self.source, len(keys), *keys, *arguments)


# --- the bus ------------------------------------------------------------------------------------------------------------

# The last publication of a conversation stays longer than any roster that was written before (10 min, and 1 to write it).
RAISE = """
local function raise(head, generation, field, value)
  if redis.call('HGET', head, 'generation') ~= generation then
    redis.call('DEL', head)
    redis.call('HSET', head, 'generation', generation)
  end
  local known = tonumber(redis.call('HGET', head, field) or '0')
  if not (known and known >= 0 and known < 1e12) then known = -1 end
  local is_newer = value > known
  if is_newer then redis.call('HSET', head, field, value) end
  redis.call('PEXPIRE', head, 720000)
  return is_newer
end
"""

# PUBLISH comes first: under `maxmemory` the ZADD is refused while PUBLISH and ZREM still work, and the message goes out.
# A re-encoded message under a seq that is there already replaces it, so that a seq never occurs twice. Each entry begins with
# ARGV[9], the store's generation: entries of another generation are removed, or their higher seqs would displace ours.
PUBLISH_COMMIT: Final = Script(f"""
{RAISE}
local recent, dirty, head = KEYS[1], KEYS[2], KEYS[3]
local generation = ARGV[8]
local channel, envelope, entry = ARGV[1], ARGV[2], ARGV[3]
local first, ttl, max_entries, max_bytes = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local receivers = redis.call('PUBLISH', channel, envelope)
if entry ~= '' then redis.call('ZREM', dirty, entry) end
local count = #ARGV - 9
if count == 0 then return receivers end
raise(head, generation, 'seq', first + count - 1)
local before = redis.call('ZREVRANGE', recent, 0, 0)[1]
local ours = ARGV[9] .. ' '
if before and string.sub(before, 1, #ours) ~= ours then redis.call('DEL', recent) end
redis.call('ZREMRANGEBYSCORE', recent, first, first + count - 1)
for i = 1, count do redis.call('ZADD', recent, first + i - 1, ours .. ARGV[9 + i]) end
redis.call('ZREMRANGEBYRANK', recent, 0, -max_entries - 1)
local bytes, kept = 0, 0
local newest = redis.call('ZREVRANGE', recent, 0, -1)
for _, message in ipairs(newest) do
  bytes = bytes + #message
  if bytes > max_bytes then break end
  kept = kept + 1
end
if kept < #newest then redis.call('ZREMRANGEBYRANK', recent, 0, #newest - kept - 1) end
redis.call('PEXPIRE', recent, ttl)
return receivers
""")

# A change of a conversation. KEYS[1] its head, KEYS[2] the dirty marks, KEYS[3…] `member:` of those affected; ARGV[1] generation,
# [2] revision, [3] how many members, [4] how many channels, then each with its envelope (a seal is of one channel), then the
# marks that are done with.
PUBLISH_CHANGE: Final = Script(f"""
{RAISE}
local last = 4 + 2 * tonumber(ARGV[4])
for i = 5, last, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
for i = 3, #KEYS do redis.call('DEL', KEYS[i]) end
for i = last + 1, #ARGV do redis.call('ZREM', KEYS[2], ARGV[i]) end
if raise(KEYS[1], ARGV[1], 'revision', tonumber(ARGV[2])) then redis.call('HSET', KEYS[1], 'members', ARGV[3]) end
return 1
""")

# The ids of this Redis server: nil where an ACL forbids to ask.
TOLD = """
local function told(section, name)
  local info = redis.pcall('INFO', section)
  return type(info) == 'string' and (string.match(info, name .. ':(%w+)') or '') or nil
end
"""

NOW_MS = "local now = redis.call('TIME'); now = now[1] * 1000 + math.floor(now[2] / 1000)"

MARK_DIRTY: Final = Script(f"""
{NOW_MS}
for _, entry in ipairs(ARGV) do redis.call('ZADD', KEYS[1], now, entry) end
return 1
""")

# A mark of the far future is none of ours, and would never be claimed.
CLAIM_DIRTY: Final = Script(f"""
{NOW_MS}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. (now + 3600000), '+inf')
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[3])
for _, entry in ipairs(due) do redis.call('ZADD', KEYS[1], 'XX', now - ARGV[1] + ARGV[2], entry) end
return due
""")

# A key that holds another type than ours makes every command on it fail, for ever: it goes. ARGV: the type of each key.
REPAIR: Final = Script("""
local removed = 0
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= ARGV[i] then
    redis.call('UNLINK', key)
    removed = removed + 1
  end
end
return removed
""")

# The same for a key whose name a script finds out itself: false where it held another type.
READ = """
local function read(command, key, ...)
  local found = redis.pcall(command, key, ...)
  if not (type(found) == 'table' and found.err) then return found end
  if not string.find(found.err, 'WRONGTYPE') then return redis.call(command, key, ...) end
  redis.call('UNLINK', key)
  return false
end
"""

# The state of an instance according to Kubernetes. KEYS[1] its lease, KEYS[2] its termination record; ARGV[1] the record's TTL,
# ARGV[2] the rest of a shortened lease. A termination record names its epoch: it does not concern a successor under the same
# name.
ENDED: Final = Script("""
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  local told = redis.call('GET', KEYS[2])
  epoch = told and string.match(told, '^[a-z]+|(.+)$')
end
if not epoch then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], 'ended|' .. epoch, 'PX', ARGV[1])
return 1
""")

REMOVED: Final = Script("""
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return 0 end
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
redis.call('SET', KEYS[2], 'removed|' .. epoch, 'PX', ARGV[1])
return 1
""")
