-- Publishes the change of a conversation, and deletes the rosters of the members affected.
--
-- KEYS: 1 head:{conversation}, 2… member:{user} of each member affected
-- ARGV: 1 the generation of the store, 2 revision, 3 number of members, 4… each channel with its envelope (a signature is
--       valid for one channel)
-- Reply: 1

-- include raise
for i = 4, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
if raise(KEYS[1], ARGV[1], 'revision', tonumber(ARGV[2])) then redis.call('HSET', KEYS[1], 'members', ARGV[3]) end
return 1
