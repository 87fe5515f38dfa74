-- Removes connections of the own instance, and the user's channel where the user has no other connection to the instance.
--
-- KEYS: 1 registry:world, 2 instance:{instance}, 3 subscriptions:{instance}, 4… connections:{user} of each connection
-- ARGV: 1 world, 2 registration, 3 instance, then (connection, channel of the user) of each
-- Reply: {'OK'}, {'WORLD'} or {'LEASE'}

-- include lease_check
-- include records
local function is_ours(text)
  local record = decode(text or '')
  return record and record.instance_id == ARGV[3]
end
for i = 4, #KEYS do
  local at = (i - 4) * 2 + 4
  if is_ours(redis.call('HGET', KEYS[i], ARGV[at])) then redis.call('HDEL', KEYS[i], ARGV[at]) end
  local is_elsewhere = true
  for _, text in ipairs(redis.call('HVALS', KEYS[i])) do is_elsewhere = is_elsewhere and not is_ours(text) end
  if is_elsewhere then redis.call('SREM', KEYS[3], ARGV[at + 1]) end
end
return {'OK'}
