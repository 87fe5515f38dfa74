-- Ends the script with {'WORLD'} where Redis is in another world, with {'LEASE'} where the lease is missing or was taken anew.
--
-- KEYS: 1 registry:world, 2 instance:{instance}, the own lease
-- ARGV: 1 the world that the instance knows, 2 the registration of the own lease

-- include world_check
if redis.call('HGET', KEYS[2], 'registration') ~= ARGV[2] then return {'LEASE'} end
