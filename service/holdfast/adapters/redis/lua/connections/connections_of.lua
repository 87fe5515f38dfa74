-- Reads the living connections of users.
--
-- KEYS: 1 registry:world, 2… connections:{user}
-- ARGV: 1 world
-- Reply: {'OK', {(connection, record)…} of each user…} or {'WORLD'}

-- include world_check
-- include records
local answer = {'OK'}
for i = 2, #KEYS do
  local living = {}
  local fields = redis.call('HGETALL', KEYS[i])
  for j = 1, #fields, 2 do
    if lives(decode(fields[j + 1])) then
      living[#living + 1] = fields[j]
      living[#living + 1] = fields[j + 1]
    end
  end
  answer[#answer + 1] = living
end
return answer
