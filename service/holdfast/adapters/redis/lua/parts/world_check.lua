-- Ends the script with {'WORLD'} where Redis is in another world than the instance.
--
-- KEYS: 1 registry:world
-- ARGV: 1 the world that the instance knows

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'WORLD'} end
