-- Defines raise(head, generation, field, value, stamp, ...): raises a number of `head:{conversation}`, and never lowers it.
--
-- A head of another generation of the store is replaced. The head stays longer than any roster that was written before:
-- 10 minutes, and 1 minute to write it. With the number its stamp is replaced, unless that is '', and further (field, value).
-- Instances of an older version raise a number without its stamp: then the stamp is of another number, and proves nothing.

local function raise(head, generation, field, value, stamp, ...)
  local found = redis.call('HMGET', head, 'generation', field)
  if found[1] ~= generation then
    redis.call('DEL', head)
    redis.call('HSET', head, 'generation', generation)
    found[2] = nil
  end
  local known = tonumber(found[2] or '-1')
  if not (known and known >= 0 and known < 1e12) then known = -1 end
  if value > known and stamp == '' then redis.call('HSET', head, field, value, ...)
  elseif value > known then redis.call('HSET', head, field, value, field .. '_stamp', stamp, ...) end
  redis.call('PEXPIRE', head, 720000)
end
