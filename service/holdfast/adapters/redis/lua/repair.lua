-- Deletes the keys that hold another type than ours: every command on such a key fails, for ever.
--
-- KEYS: the keys
-- ARGV: the type that each key should have, as TYPE answers
-- Reply: the number of keys deleted

local removed = 0
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= ARGV[i] then
    redis.call('UNLINK', key)
    removed = removed + 1
  end
end
return removed
