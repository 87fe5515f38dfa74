-- Writes the read cursors that are now in the store into the rosters, as the last number of the conversation's row.
--
-- In a signed roster the cursor with its stamp follows the row as it was signed. Instances of an older version write no stamp, and
-- such a cursor makes the roster invalid.
-- A fill permit that was given meanwhile ends, too: its holder may have read the cursor before it was written.
--
-- KEYS: member:{user} of each user
-- ARGV: 1 the name of the write, 2 conversation, then (read cursor, its stamp or '') of each user
-- Reply: 1

for i, member in ipairs(KEYS) do
  local seq, stamp = ARGV[1 + 2 * i], ARGV[2 + 2 * i]
  redis.call('HDEL', member, '?' .. ARGV[1], '.filling')
  local row = redis.call('HGET', member, ARGV[2]) or ''
  local others, cursor = string.match(row, '^(.* )(%d+)$')
  if cursor and tonumber(cursor) < tonumber(seq) then
    if stamp ~= '' and redis.call('HGET', member, '.signed') then
      others = (string.match(row, '^(.* )%x+:%x+ %d+$') or row .. ' ') .. stamp .. ' '
    end
    redis.call('HSET', member, ARGV[2], others .. seq)
  end
end
return 1
