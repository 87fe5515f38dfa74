-- Writes the roster of a user under a fill permit.
--
-- KEYS: 1 registry:era, 2 member:{user}
-- ARGV: 1 the generation of the store, 2 the fill permit, 3 life of a fill permit in ms, 4 TTL of the roster in ms,
--       then (conversation, row, seq, revision, number of members) of each
-- Reply: 1; 0 where the permit is no longer valid

-- include proof
-- include fill_permit
-- include raise
-- include read
local proven = proof()
if redis.call('HGET', KEYS[2], '.filling') ~= ARGV[2] or not begins(ARGV[2], proven) then return 0 end
redis.call('HDEL', KEYS[2], '.filling')
if not is_younger(ARGV[2], tonumber(ARGV[3])) then return 0 end
for i = 5, #ARGV, 5 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  local head = 'head:' .. ARGV[i]
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
