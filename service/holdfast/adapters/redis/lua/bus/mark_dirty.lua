-- Marks commits and changes as not yet done with, at the time of Redis.
--
-- KEYS: 1 dirty
-- ARGV: the marks
-- Reply: 1

-- include now
for _, entry in ipairs(ARGV) do redis.call('ZADD', KEYS[1], now, entry) end
return 1
