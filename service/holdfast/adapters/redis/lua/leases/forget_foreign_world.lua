-- Deletes the world that another server made. The first script on each new connection of an instance.
--
-- On a replica that is to be deleted this is an error (READONLY): nothing that a replica says of the registry is believed.
--
-- KEYS: 1 registry:world
-- ARGV: none
-- Reply: the number of keys deleted

-- include server
local world = redis.pcall('GET', KEYS[1])
if type(world) ~= 'string' or not is_foreign(world) then return 0 end
return redis.call('DEL', KEYS[1])
