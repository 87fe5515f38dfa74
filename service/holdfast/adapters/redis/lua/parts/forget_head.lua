-- Defines forget_head(head, generation): removes a head that no instance wrote.
--
-- What was published is not known any more: a roster whose fill permit is older may be of before, and is not written.

-- include now
local function forget_head(head, generation)
  redis.call('UNLINK', head)
  redis.call('HSET', head, 'generation', generation, 'forgotten', now)
  redis.call('PEXPIRE', head, 720000)
end
