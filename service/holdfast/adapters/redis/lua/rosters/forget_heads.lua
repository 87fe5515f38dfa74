-- Removes heads that no instance wrote.
--
-- What was published is not known any more: a roster whose fill permit is older may be of before, and is not written.
--
-- KEYS: head:{conversation} of each
-- ARGV: 1 the generation of the store
-- Reply: 1

-- include now
for _, head in ipairs(KEYS) do
  redis.call('DEL', head)
  redis.call('HSET', head, 'generation', ARGV[1], 'forgotten', now)
  redis.call('PEXPIRE', head, 720000)
end
return 1
