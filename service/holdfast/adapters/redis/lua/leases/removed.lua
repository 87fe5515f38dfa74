-- Shortens the lease of an instance whose pod is gone from the API of Kubernetes.
--
-- KEYS: 1 instance:{instance}, 2 fate:{instance}, the termination record
-- ARGV: 1 TTL of the termination record in ms, 2 rest of the lease in ms
-- Reply: 1; 0 where there was no lease

local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return 0 end
-- The second is the lease that instances of an older version look for.
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('PEXPIRE', KEYS[1] .. ':' .. epoch, ARGV[2])
end
redis.call('SET', KEYS[2], 'removed|' .. epoch, 'PX', ARGV[1])
return 1
