-- Writes the roster of a user under a fill permit.
--
-- KEYS: 1 registry:era, 2 member:{user}
-- ARGV: 1 the generation of the store, 2 the layout, 3 the fill permit, 4 life of a fill permit in ms, 5 TTL of the roster in ms,
--       6 what signs the roster or '', then (conversation, row, seq, its stamp, revision, its stamp, number of members) of each
-- Reply: 1; 0 where the permit is no longer valid, or is older than the removal of a head

-- include proof
-- include fill_permit
-- include raise
-- include read
local proven, permit = proof(), ARGV[3]
if redis.call('HGET', KEYS[2], '.filling') ~= permit then return 0 end
redis.call('HDEL', KEYS[2], '.filling', '.signed')
local given = given_at(permit, proven)
if not given or now - given > tonumber(ARGV[4]) then return 0 end
for i = 7, #ARGV, 7 do
  local forgotten = tonumber(read('HGET', 'head:' .. ARGV[i], 'forgotten'))
  if forgotten and forgotten >= given and forgotten <= now then return 0 end
end
for i = 7, #ARGV, 7 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  local head = 'head:' .. ARGV[i]
  raise(head, ARGV[1], 'seq', tonumber(ARGV[i + 2]), ARGV[i + 3])
  raise(head, ARGV[1], 'revision', tonumber(ARGV[i + 4]), ARGV[i + 5], 'members', ARGV[i + 6])
end
if ARGV[6] ~= '' then redis.call('HSET', KEYS[2], '.signed', ARGV[6]) end
redis.call('HSET', KEYS[2], '.proof', proven)
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return 1
