-- Renews the lease of an instance.
--
-- The lease of an instance whose pod was removed becomes a short one: the process is about to be killed. A lease in which
-- another epoch or world was written has to be taken anew.
--
-- KEYS: 1 registry:world, 2 instance:{instance}, 3 instances, 4 fate:{instance}, the termination record,
--       5 instance:{run}, the lease that instances of an older version look for
-- ARGV: 1 world, 2 registration, 3 instance, 4 state, 5 number of connections, 6 length of the lease in ms,
--       7 length of the lease in ms when the pod was removed, 8 the epoch of the instance
-- Reply: {'OK', run id of the server or ''}, {'WORLD'} or {'LEASE'}

-- include server
-- include lease_check
if is_foreign(ARGV[1]) then
  redis.call('DEL', KEYS[1])
  return {'WORLD'}
end
local lease = redis.call('HMGET', KEYS[2], 'epoch', 'world')
if lease[1] ~= ARGV[8] or lease[2] ~= ARGV[1] then return {'LEASE'} end
redis.call('HSET', KEYS[2], 'state', ARGV[4], 'connections', ARGV[5])
local lives = ARGV[6]
if redis.call('GET', KEYS[4]) == 'removed|' .. ARGV[8] then lives = ARGV[7] end
redis.call('PEXPIRE', KEYS[2], lives)
redis.call('PEXPIRE', KEYS[5], lives)
redis.call('SADD', KEYS[3], ARGV[3])
return {'OK', told('server', 'run_id') or ''}
