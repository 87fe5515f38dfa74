-- Takes the lease of an instance, and begins a new world where there is none of this server.
--
-- A start takes over whatever lease is there: it follows its predecessor. A process that had the name before and finds it with
-- another epoch was followed itself, by a process that started later. Clocks of machines are not compared.
--
-- KEYS: 1 registry:world, 2 instance:{instance}, 3 instances, 4 instance:{run}
-- ARGV: 1 instance, 2 state, 3 length of the lease in ms, 4 the beginning of a new world, 5 the epoch of the process,
--       6 '1' where the process had the name before, 7 the registration
-- Reply: {'OK', world, run id of the server or ''}; {'TAKEN'} where a younger process has the name

-- include server
local instance, state, lease_ms, epoch = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
local there = redis.call('HGET', KEYS[2], 'epoch') or epoch
if ARGV[6] == '1' and there ~= epoch and #there <= 64 and string.find(there, '^%d+%-%x+$') then return {'TAKEN'} end
local world = redis.call('GET', KEYS[1])
if not world or #world > 64 or not string.find(world, '^%x+$') or is_foreign(world) then
  world = ARGV[4] .. (server_id() or string.rep('0', 40))
  redis.call('SET', KEYS[1], world)
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'epoch', epoch, 'registered', 0, 'state', state, 'connections', 0)
redis.call('HSET', KEYS[2], 'world', world, 'registration', ARGV[7])
redis.call('PEXPIRE', KEYS[2], lease_ms)
redis.call('SADD', KEYS[3], instance)
-- Instances of an older version take the run for an instance. Where it has no lease they take its users offline.
redis.call('HSET', KEYS[4], 'epoch', epoch, 'registration', ARGV[7])
redis.call('PEXPIRE', KEYS[4], lease_ms)
return {'OK', world, told('server', 'run_id') or ''}
