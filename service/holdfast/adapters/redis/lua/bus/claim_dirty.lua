-- Claims the oldest marks that are due: another instance gets them only when the claim is over.
--
-- A mark of the far future is none of ours and would never be claimed: it is removed.
--
-- KEYS: 1 dirty
-- ARGV: 1 least age in ms, 2 length of the claim in ms, 3 most marks
-- Reply: the marks

-- include now
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. (now + 3600000), '+inf')
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[3])
for _, entry in ipairs(due) do redis.call('ZADD', KEYS[1], 'XX', now - ARGV[1] + ARGV[2], entry) end
return due
