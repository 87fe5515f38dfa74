"""The Lua scripts around `member:{user_id}`, within the commands of Redis 6.2.

Beside conversations the hash has fields that are no ids. `.proof` is the token that its rows depend on. `.filling` is the fill
permit of the instance that reads the store to write them. `?NAME` is a write under way of the read cursor of the conversation
named by its value.
"""

from typing import Final

from holdfast.adapters.redis.keys import HEAD_PREFIX
from holdfast.adapters.redis.scripts import NOW_MS, RAISE, READ, TOLD, Script

_LAYOUT: Final = 2  # of a row, see `rosters`; the first had no number in the proof

# The store's generation, the era, which start of which Redis this is, and since which promotion: a promoted replica and one that
# came back from its snapshot may have missed what the other was told. KEYS[1] is the era's key and ARGV[1] the generation in all
# that use it.
# It begins with the layout of the rows, so that instances of another version neither read ours nor we theirs.
_PROOF = f"""
{TOLD}
local function proof()
  local found = redis.call('GET', KEYS[1])
  if found and (#found > 64 or not string.find(found, '^%x*$')) then redis.call('DEL', KEYS[1]) end
  local era = redis.call('GET', KEYS[1]) or ''
  local server, replica = assert(told('server', 'run_id')), assert(told('replication', 'master_replid'))
  return table.concat({{'{_LAYOUT}', ARGV[1], era, server, replica}}, '|')
end
local function begins(text, head) return text and string.sub(text, 1, #head) == head end
"""

# A fill permit (leave) is a token, the time when it was given, and a random part. It may be used for this long. Within half of
# that another reader gets the same permit, so that many devices of one user do not void each other's.
_LEAVE = f"""
{NOW_MS}
local function is_younger(leave, ms)
  local given = string.match(leave, '|(%d+)|%x+$')
  return given and now - tonumber(given) <= ms
end
"""

# KEYS[2] member; ARGV[2] something random (hexadecimal), ARGV[3] how long a leave lasts. Answers {"ROWS", proof, (conversation,
# row, seq, revision, how many members, whether its cursor is being written)…} or {"FILL", leave}. A head is written with every
# roster and outlives it: what is missing of one was evicted, and what was published since is not known.
LOOK: Final = Script(f"""
{_PROOF}
{_LEAVE}
{READ}
local proven = proof()
if redis.call('HLEN', KEYS[2]) > 10000 then redis.call('UNLINK', KEYS[2]) end
local fields = redis.call('HGETALL', KEYS[2])
local rows, moving, special = {{}}, {{}}, {{}}
for i = 1, #fields, 2 do
  local first = string.sub(fields[i], 1, 1)
  if first == '?' then moving[fields[i + 1]] = 1
  elseif first == '.' then special[fields[i]] = fields[i + 1]
  else rows[#rows + 1] = i end
end
local function answer()
  local found = {{'ROWS', proven}}
  for _, i in ipairs(rows) do
    local head = read('HMGET', '{HEAD_PREFIX}' .. fields[i], 'generation', 'seq', 'revision', 'members') or {{}}
    if head[1] ~= ARGV[1] or not (head[2] and head[3]) then return nil end
    for _, part in ipairs({{
      fields[i], fields[i + 1], head[2], head[3], head[4] or '0', moving[fields[i]] or 0
    }}) do found[#found + 1] = part end
  end
  return found
end
if special['.proof'] then
  local found = special['.proof'] == proven and answer()
  if found then return found end
  redis.call('HDEL', KEYS[2], '.proof', '.filling')
  for _, i in ipairs(rows) do redis.call('HDEL', KEYS[2], fields[i]) end
  special['.filling'] = nil
end
if redis.call('SET', KEYS[1], ARGV[2], 'NX') then proven = proof() end
local leave = special['.filling']
if not (begins(leave, proven) and is_younger(leave, ARGV[3] / 2)) then leave = proven .. '|' .. now .. '|' .. ARGV[2] end
redis.call('HSET', KEYS[2], '.filling', leave)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {{'FILL', leave}}
""")

# KEYS[2] member; ARGV[2] the leave, ARGV[3] how long one lasts, ARGV[4] TTL, then (conversation, row, seq, revision, how many
# members) each.
FILL: Final = Script(f"""
{_PROOF}
{_LEAVE}
{RAISE}
{READ}
local proven = proof()
if redis.call('HGET', KEYS[2], '.filling') ~= ARGV[2] or not begins(ARGV[2], proven) then return 0 end
redis.call('HDEL', KEYS[2], '.filling')
if not is_younger(ARGV[2], tonumber(ARGV[3])) then return 0 end
for i = 5, #ARGV, 5 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  local head = '{HEAD_PREFIX}' .. ARGV[i]
  read('HGET', head, 'generation')
  raise(head, ARGV[1], 'seq', tonumber(ARGV[i + 2]))
  local is_newer = raise(head, ARGV[1], 'revision', tonumber(ARGV[i + 3]))
  redis.call('HSETNX', head, 'seq', 0)
  redis.call('HSETNX', head, 'revision', 0)
  if is_newer or not redis.call('HGET', head, 'members') then redis.call('HSET', head, 'members', ARGV[i + 4]) end
end
redis.call('HSET', KEYS[2], '.proof', proven)
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
""")

# KEYS[2…] heads; ARGV[2] the proof. Answers the seq of each; nothing when the proof holds no more or one is missing.
TAILS: Final = Script(f"""
{_PROOF}
if proof() ~= ARGV[2] then return {{}} end
local answer = {{}}
for i = 2, #KEYS do
  local head = redis.call('HMGET', KEYS[i], 'generation', 'seq')
  if head[1] ~= ARGV[1] or not head[2] then return {{}} end
  answer[#answer + 1] = head[2]
end
return answer
""")

# KEYS member of each user; ARGV[1] name, [2] conversation, [3] TTL of what is only this. A fill permit that was given ends: its
# holder may have read the cursor already. A write begun by an instance that died stays begun until the roster is gone. Three
# times as many fields as a user has conversations are too many.
BEGIN_READS: Final = Script("""
for _, member in ipairs(KEYS) do
  if redis.call('HLEN', member) > 3000 then redis.call('DEL', member) end
  redis.call('HDEL', member, '.filling')
  redis.call('HSET', member, '?' .. ARGV[1], ARGV[2])
  if redis.call('PTTL', member) < 0 then redis.call('PEXPIRE', member, ARGV[3]) end
end
return 1
""")

# The same, and ARGV[3…] the cursor of each; the last number of a row. A leave that was given meanwhile ends, too: its holder
# may have read the cursor before it was written, and filled the roster after.
END_READS: Final = Script("""
for i, member in ipairs(KEYS) do
  redis.call('HDEL', member, '?' .. ARGV[1], '.filling')
  local others, cursor = string.match(redis.call('HGET', member, ARGV[2]) or '', '^(.* )(%d+)$')
  if cursor and tonumber(cursor) < tonumber(ARGV[2 + i]) then redis.call('HSET', member, ARGV[2], others .. ARGV[2 + i]) end
end
return 1
""")
