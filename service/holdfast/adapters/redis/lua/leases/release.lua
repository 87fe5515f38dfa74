-- Ends the own lease.
--
-- KEYS: 1 registry:world, 2 instance:{instance}, 3 instance:{run}, the lease that instances of an older version look for
-- ARGV: 1 world, 2 registration
-- Reply: {'OK'}, {'WORLD'} or {'LEASE'}

-- include lease_check
redis.call('DEL', KEYS[2], KEYS[3])
return {'OK'}
