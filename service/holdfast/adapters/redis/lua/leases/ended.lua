-- Ends the lease of an instance whose container has ended according to Kubernetes.
--
-- The termination record names the epoch: it does not concern a successor under the same name.
--
-- KEYS: 1 instance:{instance}, 2 fate:{instance}, the termination record
-- ARGV: 1 TTL of the termination record in ms
-- Reply: 1; 0 where neither a lease nor a record was there

local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  local told = redis.call('GET', KEYS[2])
  epoch = told and string.match(told, '^[a-z]+|(.+)$')
end
if not epoch then return 0 end
-- The second is the lease that instances of an older version look for.
redis.call('DEL', KEYS[1], KEYS[1] .. ':' .. epoch)
redis.call('SET', KEYS[2], 'ended|' .. epoch, 'PX', ARGV[1])
return 1
