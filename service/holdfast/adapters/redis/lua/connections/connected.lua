-- Tells which users have a living connection.
--
-- KEYS: 1 registry:world, 2… connections:{user}
-- ARGV: 1 world
-- Reply: {'OK', 1 or 0 of each user…} or {'WORLD'}

-- include world_check
-- include records
local answer = {'OK'}
for i = 2, #KEYS do
  local found = 0
  for _, text in ipairs(redis.call('HVALS', KEYS[i])) do
    if lives(decode(text)) then found = 1 break end
  end
  answer[#answer + 1] = found
end
return answer
