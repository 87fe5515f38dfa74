-- Writes the read cursors that are now in the store into the rosters, as the last number of the conversation's row.
--
-- A fill permit that was given meanwhile ends, too: its holder may have read the cursor before it was written.
--
-- KEYS: member:{user} of each user
-- ARGV: 1 the name of the write, 2 conversation, 3… the read cursor of each user
-- Reply: 1

for i, member in ipairs(KEYS) do
  redis.call('HDEL', member, '?' .. ARGV[1], '.filling')
  local others, cursor = string.match(redis.call('HGET', member, ARGV[2]) or '', '^(.* )(%d+)$')
  if cursor and tonumber(cursor) < tonumber(ARGV[2 + i]) then redis.call('HSET', member, ARGV[2], others .. ARGV[2 + i]) end
end
return 1
