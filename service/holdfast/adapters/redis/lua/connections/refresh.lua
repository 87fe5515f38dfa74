-- Renews the TTL of what the own instance registered.
--
-- KEYS: 1 registry:world, 2 instance:{instance}, 3 subscriptions:{instance}, 4… connections:{user}
-- ARGV: 1 world, 2 registration, 3 TTL in ms
-- Reply: {'OK'}, {'WORLD'} or {'LEASE'}

-- include lease_check
for i = 3, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
return {'OK'}
