-- Lists the instances that have, or had, a lease. One whose lease was taken in another world is not registered in this one.
--
-- KEYS: 1 registry:world, 2 instances
-- ARGV: 1 world
-- Reply: {'OK', (instance, epoch or '', registered, state, connections, termination record or '')…} or {'WORLD'}

-- include world_check
-- include read
local answer = {'OK'}
for _, instance in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local lease = read('HMGET', 'instance:' .. instance, 'epoch', 'registered', 'state', 'connections', 'world') or {}
  if lease[5] ~= ARGV[1] then lease[2] = '0' end
  answer[#answer + 1] = instance
  for i = 1, 4 do answer[#answer + 1] = lease[i] or '' end
  answer[#answer + 1] = read('GET', 'fate:' .. instance) or ''
end
return answer
