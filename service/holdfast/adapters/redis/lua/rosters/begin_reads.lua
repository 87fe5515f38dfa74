-- Notes in the rosters of users that a read cursor of each is about to be written.
--
-- A fill permit that was given ends: its holder may have read the cursor already. A write that was begun by an instance that
-- died stays begun until the roster is gone. A roster with three times as many fields as a user has conversations is deleted.
--
-- KEYS: member:{user} of each user
-- ARGV: 1 the name of the write, 2 conversation, 3 TTL in ms of a key that holds nothing else
-- Reply: 1

for _, member in ipairs(KEYS) do
  if redis.call('HLEN', member) > 3000 then redis.call('DEL', member) end
  redis.call('HDEL', member, '.filling')
  redis.call('HSET', member, '?' .. ARGV[1], ARGV[2])
  if redis.call('PTTL', member) < 0 then redis.call('PEXPIRE', member, ARGV[3]) end
end
return 1
