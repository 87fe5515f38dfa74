"""The Lua scripts around `member:{user_id}`, within the commands of Redis 6.2.

Beside conversations the hash has fields that are no ids: `.proof`, what its rows rest on; `.filling`, the leave of whoever is
reading the store to write them; `?NAME`, a write of the read cursor of the conversation named by its value, under way.
"""

from typing import Final

from holdfast.adapters.redis.keys import HEAD_PREFIX
from holdfast.adapters.redis.scripts import Script

# The store's generation, the era, and which start of which Redis this is: a promoted replica and one that came back from its
# snapshot may have missed what the other was told. KEYS[1] is the era's key and ARGV[1] the generation in all that use it.
_PROOF = """
local function proof()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
  return ARGV[1] .. '|' .. (redis.call('GET', KEYS[1]) or '') .. '|' .. run
end
local function begins(text, head) return text and string.sub(text, 1, #head) == head end
"""

# KEYS[2] member; ARGV[2] something random, ARGV[3] how long a leave lasts. Answers {"ROWS", proof, (conversation, row, seq,
# revision, whether its cursor is being written)…} or {"FILL", leave}.
LOOK: Final = Script(f"""
{_PROOF}
local now = proof()
local fields = redis.call('HGETALL', KEYS[2])
local rows, moving, special = {{}}, {{}}, {{}}
for i = 1, #fields, 2 do
  local first = string.sub(fields[i], 1, 1)
  if first == '?' then moving[fields[i + 1]] = 1
  elseif first == '.' then special[fields[i]] = fields[i + 1]
  else rows[#rows + 1] = i end
end
if special['.proof'] == now then
  local answer = {{'ROWS', now}}
  for _, i in ipairs(rows) do
    local head = redis.call('HMGET', '{HEAD_PREFIX}' .. fields[i], 'generation', 'seq', 'revision')
    local is_ours = head[1] == ARGV[1]
    answer[#answer + 1] = fields[i]
    answer[#answer + 1] = fields[i + 1]
    answer[#answer + 1] = is_ours and head[2] or '0'
    answer[#answer + 1] = is_ours and head[3] or '0'
    answer[#answer + 1] = moving[fields[i]] or 0
  end
  return answer
end
if special['.proof'] then
  redis.call('HDEL', KEYS[2], '.proof', '.filling')
  for _, i in ipairs(rows) do redis.call('HDEL', KEYS[2], fields[i]) end
end
if redis.call('SET', KEYS[1], ARGV[2], 'NX') then now = proof() end
local leave = special['.filling']
if not begins(leave, now) then leave = now .. '|' .. ARGV[2] end
redis.call('HSET', KEYS[2], '.filling', leave)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {{'FILL', leave}}
""")

# KEYS[2] member; ARGV[2] the leave, ARGV[3] TTL, then (conversation, row) each.
FILL: Final = Script(f"""
{_PROOF}
local now = proof()
if redis.call('HGET', KEYS[2], '.filling') ~= ARGV[2] or not begins(ARGV[2], now) then return 0 end
redis.call('HDEL', KEYS[2], '.filling')
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[2], '.proof', now)
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
""")

# KEYS[2…] heads; ARGV[2] the proof. Answers the seq of each; nothing when the proof holds no more.
TAILS: Final = Script(f"""
{_PROOF}
if proof() ~= ARGV[2] then return {{}} end
local answer = {{}}
for i = 2, #KEYS do
  local head = redis.call('HMGET', KEYS[i], 'generation', 'seq')
  answer[#answer + 1] = head[1] == ARGV[1] and head[2] or '0'
end
return answer
""")

# KEYS member of each user; ARGV[1] name, [2] conversation, [3] TTL of what is only this. A leave that was given ends: its
# holder may have read the cursor already. What was begun by somebody who died stays begun, until the roster is gone; three times
# as many fields as a user has conversations are too many.
BEGIN_READS: Final = Script("""
for _, member in ipairs(KEYS) do
  if redis.call('HLEN', member) > 3000 then redis.call('DEL', member) end
  redis.call('HDEL', member, '.filling')
  redis.call('HSET', member, '?' .. ARGV[1], ARGV[2])
  if redis.call('PTTL', member) < 0 then redis.call('PEXPIRE', member, ARGV[3]) end
end
return 1
""")

# The same, and ARGV[3…] the cursor of each; the last number of a row.
END_READS: Final = Script("""
for i, member in ipairs(KEYS) do
  redis.call('HDEL', member, '?' .. ARGV[1])
  local others, cursor = string.match(redis.call('HGET', member, ARGV[2]) or '', '^(.* )(%d+)$')
  if cursor and tonumber(cursor) < tonumber(ARGV[2 + i]) then redis.call('HSET', member, ARGV[2], others .. ARGV[2 + i]) end
end
return 1
""")
