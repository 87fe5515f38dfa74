-- Registers connections of the own instance.
--
-- KEYS: 1 registry:world, 2 instance:{instance}, 3 subscriptions:{instance}, 4… connections:{user} of each record
-- ARGV: 1 world, 2 registration, 3 TTL in ms, then (channel of the user, connection, record) of each
-- Reply: {'OK', number of living connections of each user…}, {'WORLD'} or {'LEASE'}

-- include lease_check
-- include records
local answer = {'OK'}
for i = 4, #KEYS do
  local at = (i - 4) * 3 + 4
  redis.call('HSET', KEYS[i], ARGV[at + 1], ARGV[at + 2])
  redis.call('PEXPIRE', KEYS[i], ARGV[3])
  redis.call('SADD', KEYS[3], ARGV[at])
end
redis.call('PEXPIRE', KEYS[3], ARGV[3])
for i = 4, #KEYS do
  local count = 0
  for _, text in ipairs(redis.call('HVALS', KEYS[i])) do
    if lives(decode(text)) then count = count + 1 end
  end
  answer[#answer + 1] = count
end
return answer
