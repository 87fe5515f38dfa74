-- Notes in the own lease that every connection of the instance is registered.
--
-- KEYS: 1 registry:world, 2 instance:{instance}
-- ARGV: 1 world, 2 registration
-- Reply: {'OK'}, {'WORLD'} or {'LEASE'}

-- include lease_check
redis.call('HSET', KEYS[2], 'registered', 1)
return {'OK'}
