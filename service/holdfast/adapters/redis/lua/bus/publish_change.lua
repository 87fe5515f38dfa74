-- Publishes the change of a conversation, deletes the rosters of the members affected, and removes the marks of the change.
--
-- KEYS: 1 head:{conversation}, 2 dirty, 3… member:{user} of each member affected
-- ARGV: 1 the generation of the store, 2 revision, 3 number of members, 4 number of channels, then each channel with its
--       envelope (a signature is valid for one channel), then the marks
-- Reply: 1

-- include raise
local last = 4 + 2 * tonumber(ARGV[4])
for i = 5, last, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
for i = 3, #KEYS do redis.call('DEL', KEYS[i]) end
for i = last + 1, #ARGV do redis.call('ZREM', KEYS[2], ARGV[i]) end
if raise(KEYS[1], ARGV[1], 'revision', tonumber(ARGV[2])) then redis.call('HSET', KEYS[1], 'members', ARGV[3]) end
return 1
