-- Takes an instance out of the list of instances, where nothing is left of it.
--
-- KEYS: 1 registry:world, 2 instance:{instance}, 3 subscriptions:{instance}, 4 instances
-- ARGV: 1 world, 2 unused, 3 instance
-- Reply: {'OK'}, {'WORLD'}; {'LEASE'} where the instance has a lease

-- include world_check
if redis.call('EXISTS', KEYS[2]) == 1 then return {'LEASE'} end
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('SREM', KEYS[4], ARGV[3]) end
return {'OK'}
