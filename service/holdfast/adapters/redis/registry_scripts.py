"""The Lua scripts of the registry: each looks at `registry:world` and at the lease before it writes anything.

They answer `{"WORLD"}` or `{"LEASE"}` where those are not as expected, `{"OK", …}` otherwise. A field that holds no JSON of ours
counts as dead and is left alone.

The world is a random id followed by a hash of the server's run id and replication id. A promoted replica, and a server that was
restarted from its snapshot, hold the old world, perhaps without its last writes. A connection that has ended may still be there,
and a new one may be missing. So a world of another server is deleted, by the first script on each new connection and by each
renewal, and every instance registers again. A registration is one such round: a field counts only under a lease that has the same
registration, and was taken in the present world.
"""

from typing import Final

from holdfast.adapters.redis.keys import FATE_PREFIX, LEASE_PREFIX
from holdfast.adapters.redis.scripts import READ, TOLD, Script

# ARGV[1] is the world and ARGV[2] the registration in all that follow; KEYS[1] the world's key and KEYS[2] the own lease.
_WORLD_CHECK = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'WORLD'} end"
_CHECKS = f"""{_WORLD_CHECK}
if redis.call('HGET', KEYS[2], 'registration') ~= ARGV[2] then return {{'LEASE'}} end"""

_RECORDS = f"""
{READ}
local function decode(text)
  local ok, record = pcall(cjson.decode, text)
  if ok and type(record) == 'table' and type(record.instance_id) == 'string' and type(record.epoch) == 'string' then
    return record
  end
end
local leases = {{}}
local function lease_of(instance)
  if leases[instance] == nil then
    leases[instance] = read('HMGET', '{LEASE_PREFIX}' .. instance, 'world', 'registration') or {{}}
  end
  return leases[instance]
end
local function lives(record)
  if record == nil or type(record.registration) ~= 'string' then return false end
  local lease = lease_of(record.instance_id)
  return lease[1] == ARGV[1] and lease[2] == record.registration
end
"""

# Which start of which Redis this is, and since which promotion: 40 hexadecimal digits; nil where an ACL forbids to ask, and then
# no world is foreign. The replication id changes also when the first replica attaches: that costs one more registration.
_SERVER = f"""
{TOLD}
local function server_id()
  local run, replication = told('server', 'run_id'), told('replication', 'master_replid')
  return run and replication and redis.sha1hex(run .. '|' .. replication)
end
local function is_foreign(world)
  local server = server_id()
  return server and string.sub(world, -40) ~= server
end
"""

# On a replica that is to be deleted this is an error (READONLY): nothing that a replica says of the registry is believed.
FORGET_FOREIGN_WORLD: Final = Script(f"""
{_SERVER}
local world = redis.pcall('GET', KEYS[1])
if type(world) ~= 'string' or not is_foreign(world) then return 0 end
return redis.call('DEL', KEYS[1])
""")

# The epoch: Redis's time in microseconds, 16 digits, and 8 random ones. Compared as text, a newer start is larger, also
# when the clock of a promoted replica is behind: never below the lease that is there nor the epoch that the caller had.
# The random digits are the process's: a larger epoch with other ones is a younger process, with ours an answer that was lost.
# KEYS[3] instances; ARGV[1] instance, [2] state, [3] how long the lease lives, [4] the beginning of a new world, [5] the random
# digits, [6] the epoch that the caller had or '', [7] 1 where it may keep that, [8] the world that it knew or '',
# [9] registration. An epoch is kept where the lease is still there under it, or was lost with the world.
ACQUIRE: Final = Script(f"""
{_SERVER}
local instance, state, lease_ms, random, floor = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local there = redis.call('HGET', KEYS[2], 'epoch') or ''
if #there > 64 or not string.find(there, '^%d+%-%x+$') then there = '' end
if floor ~= '' and there > floor and string.sub(there, 18) ~= random then return {{'TAKEN'}} end
local world = redis.call('GET', KEYS[1])
if not world or #world > 64 or not string.find(world, '^%x+$') or is_foreign(world) then
  world = ARGV[4] .. (server_id() or string.rep('0', 40))
  redis.call('SET', KEYS[1], world)
end
local epoch = floor
if floor == '' or ARGV[7] ~= '1' or not (there == floor or (there < floor and world ~= ARGV[8])) then
  local time = redis.call('TIME')
  local micros = time[1] * 1000000 + time[2]
  for _, each in ipairs({{there, floor}}) do
    local before = tonumber(string.sub(each, 1, 16))
    if before and before >= micros then micros = before + 1 end
  end
  epoch = string.format('%016.0f', micros) .. '-' .. random
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'epoch', epoch, 'registered', 0, 'state', state, 'connections', 0)
redis.call('HSET', KEYS[2], 'world', world, 'registration', ARGV[9])
redis.call('PEXPIRE', KEYS[2], lease_ms)
redis.call('SADD', KEYS[3], instance)
return {{'OK', epoch, world, told('server', 'run_id') or ''}}
""")

# KEYS[4] its termination record, ARGV[6] how long the lease lives, ARGV[7] how long when its pod was removed: it is about to be
# killed. ARGV[8] its epoch: a lease in which something else was written is taken anew.
RENEW: Final = Script(f"""
{_SERVER}
{_CHECKS}
if is_foreign(ARGV[1]) then
  redis.call('DEL', KEYS[1])
  return {{'WORLD'}}
end
local lease = redis.call('HMGET', KEYS[2], 'epoch', 'world')
if lease[1] ~= ARGV[8] or lease[2] ~= ARGV[1] then return {{'LEASE'}} end
redis.call('HSET', KEYS[2], 'state', ARGV[4], 'connections', ARGV[5])
local lives = ARGV[6]
if redis.call('GET', KEYS[4]) == 'removed|' .. ARGV[8] then lives = ARGV[7] end
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

# KEYS[2…] connections; answers (connection, record) of those that live, a list for each.
CONNECTIONS_OF: Final = Script(f"""
{_WORLD_CHECK}
{_RECORDS}
local answer = {{'OK'}}
for i = 2, #KEYS do
  local living = {{}}
  local fields = redis.call('HGETALL', KEYS[i])
  for j = 1, #fields, 2 do
    if lives(decode(fields[j + 1])) then
      living[#living + 1] = fields[j]
      living[#living + 1] = fields[j + 1]
    end
  end
  answer[#answer + 1] = living
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

# KEYS[2] instances; answers (instance, epoch or '', registered, state, connections, termination record or '') of each. An
# instance whose lease was taken in another world is not registered in this one.
INSTANCES: Final = Script(f"""
{_WORLD_CHECK}
{READ}
local answer = {{'OK'}}
for _, instance in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local lease = read('HMGET', '{LEASE_PREFIX}' .. instance, 'epoch', 'registered', 'state', 'connections', 'world') or {{}}
  if lease[5] ~= ARGV[1] then lease[2] = '0' end
  answer[#answer + 1] = instance
  for i = 1, 4 do answer[#answer + 1] = lease[i] or '' end
  answer[#answer + 1] = read('GET', '{FATE_PREFIX}' .. instance) or ''
end
return answer
""")

# What earlier registrations of an instance left with some users. ARGV[2] is the registration that the lease must have as it is
# now: '' for "there is no lease" (another instance reaps, or we gave our own up), the own one when it removes what was before.
# KEYS[2] the lease of the instance reaped, KEYS[3] its subscriptions, KEYS[4…] connections; ARGV[3] the instance, then the
# channel of each user. Answers 1 or 0 for each user who lost a connection or not, and the largest epoch seen.
_OWNER_CHECK = """
local lease = redis.call('HMGET', KEYS[2], 'epoch', 'registration')
local is_as_expected = lease[2] == ARGV[2]
if ARGV[2] == '' then is_as_expected = not lease[1] end
if not is_as_expected then return {'LEASE'} end
"""

REAP_USERS: Final = Script(f"""
{_WORLD_CHECK}
{_RECORDS}
{_OWNER_CHECK}
local answer, newest = {{'OK', ''}}, ''
for i = 4, #KEYS do
  local fields, lost, is_left = redis.call('HGETALL', KEYS[i]), 0, false
  for j = 1, #fields, 2 do
    local record = decode(fields[j + 1])
    if record and record.instance_id == ARGV[3] then
      if ARGV[2] ~= '' and record.registration == ARGV[2] then
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

# The channels that index no user. KEYS[3] subscriptions; ARGV[3…] channels.
REAP_CHANNELS: Final = Script(f"""
{_WORLD_CHECK}
{_OWNER_CHECK}
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
