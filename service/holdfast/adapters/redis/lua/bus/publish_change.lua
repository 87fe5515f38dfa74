-- Publishes the change of a conversation, and deletes the rosters of the members affected.
--
-- KEYS: 1 head:{conversation}, 2… member:{user} of each member affected
-- ARGV: 1 the generation of the store, 2 revision, 3 its stamp or '', 4 number of members, 5… each channel with its envelope (a
--       signature is valid for one channel)
-- Reply: 1

-- include raise
for i = 5, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
raise(KEYS[1], ARGV[1], 'revision', tonumber(ARGV[2]), ARGV[3], 'members', ARGV[4])
return 1
