-- Defines raise(head, generation, field, value): raises a number of `head:{conversation}`, and never lowers it.
--
-- A head of another generation of the store is replaced. The head stays longer than any roster that was written before:
-- 10 minutes, and 1 minute to write it. Returns whether the value is larger than the one before.

local function raise(head, generation, field, value)
  if redis.call('HGET', head, 'generation') ~= generation then
    redis.call('DEL', head)
    redis.call('HSET', head, 'generation', generation)
  end
  local known = tonumber(redis.call('HGET', head, field) or '0')
  if not (known and known >= 0 and known < 1e12) then known = -1 end
  local is_newer = value > known
  if is_newer then redis.call('HSET', head, field, value) end
  redis.call('PEXPIRE', head, 720000)
  return is_newer
end
