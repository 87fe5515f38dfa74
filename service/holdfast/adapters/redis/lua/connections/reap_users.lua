-- Removes what earlier registrations of an instance left with some users.
--
-- Another instance reaps, or the instance itself: after it gave up its lease, or with its new registration, to remove what was
-- before.
--
-- KEYS: 1 registry:world, 2 instance:{instance}, 3 subscriptions:{instance}, 4… connections:{user}
-- ARGV: 1 world, 2 the registration that the lease must have, '' for no lease, 3 instance, then the channel of each user
-- Reply: {'OK', 1 or 0 of each user: whether it lost a connection…}, {'WORLD'} or {'LEASE'}

-- include world_check
-- include records
-- include owner_check
local answer = {'OK'}
for i = 4, #KEYS do
  local fields, lost, is_left = redis.call('HGETALL', KEYS[i]), 0, false
  for j = 1, #fields, 2 do
    local record = decode(fields[j + 1])
    if record and record.instance_id == ARGV[3] then
      if ARGV[2] ~= '' and record.registration == ARGV[2] then
        is_left = true
      else
        redis.call('HDEL', KEYS[i], fields[j])
        lost = 1
      end
    end
  end
  if not is_left then redis.call('SREM', KEYS[3], ARGV[i]) end
  answer[#answer + 1] = lost
end
return answer
