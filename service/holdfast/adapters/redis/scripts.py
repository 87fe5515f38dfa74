"""The Lua scripts: each is one atomic step, within the commands of Redis 6.2.

Scripts of the registry look at `registry:world` and at the lease before they write anything, and answer `{"WORLD"}` or
`{"LEASE"}` where those are not as expected, `{"OK", …}` otherwise. Values are data everywhere: nothing from outside becomes
part of a script's text. A field that holds no JSON of ours counts as dead and is left alone.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from holdfast.adapters.redis.keys import FATE_PREFIX, LEASE_PREFIX

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

# What was published last of a conversation stays longer than any roster that was written before (10 min, and 1 to write it).
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
# the store's generation: what another one left goes, or its higher seqs would crowd ours out.
PUBLISH_COMMIT: Final = Script(f"""
{RAISE}
local recent, dirty, head = KEYS[1], KEYS[2], KEYS[3]
local generation = ARGV[8]
local channel, envelope, entry = ARGV[1], ARGV[2], ARGV[3]
local first, ttl, max_entries, max_bytes = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local receivers = redis.call('PUBLISH', channel, envelope)
if entry ~= '' then redis.call('ZREM', dirty, entry) end
local count = #ARGV - 8
if count == 0 then return receivers end
raise(head, generation, 'seq', first + count - 1)
local before = redis.call('ZREVRANGE', recent, 0, 0)[1]
local ours = generation .. ' '
if before and string.sub(before, 1, #ours) ~= ours then redis.call('DEL', recent) end
redis.call('ZREMRANGEBYSCORE', recent, first, first + count - 1)
for i = 1, count do redis.call('ZADD', recent, first + i - 1, ours .. ARGV[8 + i]) end
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

# What Redis says of itself: nil where an ACL forbids to ask.
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

# --- the registry -------------------------------------------------------------------------------------------------------

# ARGV[1] is the world and ARGV[2] the epoch in all that follow; KEYS[1] the world's key and KEYS[2] the own lease.
_WORLD_CHECK = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'WORLD'} end"
_CHECKS = f"""{_WORLD_CHECK}
if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[2] then return {{'LEASE'}} end"""

_RECORDS = f"""
{READ}
local function decode(text)
  local ok, record = pcall(cjson.decode, text)
  if ok and type(record) == 'table' and type(record.instance_id) == 'string' and type(record.epoch) == 'string' then
    return record
  end
end
local leases = {{}}
local function lease_epoch(instance)
  if leases[instance] == nil then leases[instance] = read('HGET', '{LEASE_PREFIX}' .. instance, 'epoch') end
  return leases[instance]
end
local function lives(record) return record ~= nil and lease_epoch(record.instance_id) == record.epoch end
"""

# The epoch: Redis's time in microseconds, 16 digits, and 8 random ones. Compared as text, a newer start is larger, also
# when the clock of a promoted replica is behind: never below the lease that is there nor the epoch that the caller had.
# The random digits are the process's: a larger epoch with other ones is a younger process, with ours an answer that was lost.
ACQUIRE: Final = Script(f"""
{TOLD}
local instance, state, lease_ms, world, random, floor = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local there = redis.call('HGET', KEYS[2], 'epoch') or ''
if #there > 64 or not string.find(there, '^%d+%-%x+$') then there = '' end
local known = redis.call('GET', KEYS[1])
if known and (#known > 64 or not string.find(known, '^%x+$')) then redis.call('DEL', KEYS[1]) end
if floor ~= '' and there > floor and string.sub(there, 18) ~= random then return {{'TAKEN'}} end
redis.call('SET', KEYS[1], world, 'NX')
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
for _, epoch in ipairs({{there, floor}}) do
  local before = tonumber(string.sub(epoch, 1, 16))
  if before and before >= micros then micros = before + 1 end
end
local epoch = string.format('%016.0f', micros) .. '-' .. random
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'epoch', epoch, 'registered', 0, 'state', state, 'connections', 0)
redis.call('PEXPIRE', KEYS[2], lease_ms)
redis.call('SADD', KEYS[3], instance)
return {{'OK', epoch, redis.call('GET', KEYS[1]), told('server', 'run_id') or ''}}
""")

# KEYS[4] its fate, ARGV[6] how long the lease lives, ARGV[7] how long when its pod was removed: it is about to be killed.
RENEW: Final = Script(f"""
{TOLD}
{_CHECKS}
redis.call('HSET', KEYS[2], 'state', ARGV[4], 'connections', ARGV[5])
local lives = ARGV[6]
if redis.call('GET', KEYS[4]) == 'removed|' .. ARGV[2] then lives = ARGV[7] end
redis.call('PEXPIRE', KEYS[2], lives)
redis.call('SADD', KEYS[3], ARGV[3])
return {{'OK', told('server', 'run_id') or ''}}
""")

RELEASE: Final = Script(f"""
{_CHECKS}
redis.call('DEL', KEYS[2])
return {{'OK'}}
""")

SET_REGISTERED: Final = Script(f"""
{_CHECKS}
redis.call('HSET', KEYS[2], 'registered', 1)
return {{'OK'}}
""")

# KEYS[3] subscriptions, KEYS[4…] `connections:` of each record; ARGV[3] TTL, then (channel, connection, record) each.
REGISTER: Final = Script(f"""
{_CHECKS}
{_RECORDS}
local answer = {{'OK'}}
for i = 4, #KEYS do
  local at = (i - 4) * 3 + 4
  redis.call('HSET', KEYS[i], ARGV[at + 1], ARGV[at + 2])
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
  redis.call('SADD', KEYS[3], ARGV[at])
end
redis.call('PEXPIRE', KEYS[3], ARGV[3])
for i = 4, #KEYS do
  local count = 0
  for _, text in ipairs(redis.call('HVALS', KEYS[i])) do
    if lives(decode(text)) then count = count + 1 end
  end
  answer[#answer + 1] = count
end
return answer
""")

# KEYS[3] subscriptions, KEYS[4…] `connections:` of each; ARGV[3] instance, then (connection, the user's channel) each.
UNREGISTER: Final = Script(f"""
{_CHECKS}
{_RECORDS}
local function is_ours(text)
  local record = decode(text or '')
  return record and record.instance_id == ARGV[3]
end
for i = 4, #KEYS do
  local at = (i - 4) * 2 + 4
  if is_ours(redis.call('HGET', KEYS[i], ARGV[at])) then redis.call('HDEL', KEYS[i], ARGV[at]) end
  local is_elsewhere = true
  for _, text in ipairs(redis.call('HVALS', KEYS[i])) do is_elsewhere = is_elsewhere and not is_ours(text) end
  if is_elsewhere then redis.call('SREM', KEYS[3], ARGV[at + 1]) end
end
return {{'OK'}}
""")

# KEYS[3] subscriptions, KEYS[4…] connections; ARGV[3] TTL.
REFRESH: Final = Script(f"""
{_CHECKS}
for i = 3, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
return {{'OK'}}
""")

# KEYS[2] connections; answers (connection, record) of those that live.
CONNECTIONS_OF: Final = Script(f"""
{_WORLD_CHECK}
{_RECORDS}
local answer = {{'OK'}}
local fields = redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do
  if lives(decode(fields[i + 1])) then
    answer[#answer + 1] = fields[i]
    answer[#answer + 1] = fields[i + 1]
  end
end
return answer
""")

# KEYS[2…] connections; answers 1 or 0 for each: whether one of its fields lives.
CONNECTED: Final = Script(f"""
{_WORLD_CHECK}
{_RECORDS}
local answer = {{'OK'}}
for i = 2, #KEYS do
  local found = 0
  for _, text in ipairs(redis.call('HVALS', KEYS[i])) do
    if lives(decode(text)) then found = 1 break end
  end
  answer[#answer + 1] = found
end
return answer
""")

# KEYS[2] instances; answers (instance, epoch or '', registered, state, connections, fate or '') of each.
INSTANCES: Final = Script(f"""
{_WORLD_CHECK}
{READ}
local answer = {{'OK'}}
for _, instance in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local lease = read('HMGET', '{LEASE_PREFIX}' .. instance, 'epoch', 'registered', 'state', 'connections') or {{}}
  answer[#answer + 1] = instance
  for i = 1, 4 do answer[#answer + 1] = lease[i] or '' end
  answer[#answer + 1] = read('GET', '{FATE_PREFIX}' .. instance) or ''
end
return answer
""")

# What Kubernetes says of an instance. KEYS[1] its lease, KEYS[2] its fate; ARGV[1] the fate's TTL, ARGV[2] what a shortened
# lease has left. A fate names the epoch that it is about: a successor under the same name is not meant.
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

# What a gone start of an instance left with some users. ARGV[2] is the epoch that the lease must have as it is now: '' for
# "there is none" (another instance reaps, or we gave our own up), the own one when a start removes its predecessors.
# A field goes only when its epoch is not the lease's. KEYS[2] the lease of the instance reaped, KEYS[3] its subscriptions,
# KEYS[4…] connections; ARGV[3] the instance, then the channel of each user. Answers 1 or 0 for each user who lost a
# connection or not, and the largest epoch seen.
REAP_USERS: Final = Script(f"""
{_WORLD_CHECK}
{_RECORDS}
local current = redis.call('HGET', KEYS[2], 'epoch') or ''
if current ~= ARGV[2] then return {{'LEASE'}} end
local answer, newest = {{'OK', ''}}, ''
for i = 4, #KEYS do
  local fields, lost, is_left = redis.call('HGETALL', KEYS[i]), 0, false
  for j = 1, #fields, 2 do
    local record = decode(fields[j + 1])
    if record and record.instance_id == ARGV[3] then
      if record.epoch == current then
        is_left = true
      else
        redis.call('HDEL', KEYS[i], fields[j])
        lost = 1
        if record.epoch > newest then newest = record.epoch end
      end
    end
  end
  if not is_left then redis.call('SREM', KEYS[3], ARGV[i]) end
  answer[#answer + 1] = lost
end
answer[2] = newest
return answer
""")

# The channels that are nobody's index. KEYS[3] subscriptions; ARGV[3…] channels.
REAP_CHANNELS: Final = Script(f"""
{_WORLD_CHECK}
if (redis.call('HGET', KEYS[2], 'epoch') or '') ~= ARGV[2] then return {{'LEASE'}} end
for i = 3, #ARGV do redis.call('SREM', KEYS[3], ARGV[i]) end
return {{'OK'}}
""")

# Forget the instance when nothing of it is left. KEYS[3] subscriptions, KEYS[4] instances; ARGV[3] the instance.
FORGET: Final = Script(f"""
{_WORLD_CHECK}
if redis.call('EXISTS', KEYS[2]) == 1 then return {{'LEASE'}} end
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('SREM', KEYS[4], ARGV[3]) end
return {{'OK'}}
""")
