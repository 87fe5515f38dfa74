-- Removes the channels of a reaped instance that are not of a user.
--
-- KEYS: 1 registry:world, 2 instance:{instance}, 3 subscriptions:{instance}
-- ARGV: 1 world, 2 the registration that the lease must have, '' for no lease, 3… channels
-- Reply: {'OK'}, {'WORLD'} or {'LEASE'}

-- include world_check
-- include owner_check
for i = 3, #ARGV do redis.call('SREM', KEYS[3], ARGV[i]) end
return {'OK'}
