-- Takes the lease of an instance, and begins a new world where there is none of this server.
--
-- The epoch is the time of Redis in microseconds, 16 digits, and 8 random ones. Compared as text, a newer start is larger. So it
-- is also when the clock of a promoted replica is behind: an epoch is never below the one of the lease that is there, nor below
-- the one that the caller had. The random digits are those of the process. A larger epoch with other random digits is of a
-- younger process; with the same digits its answer was lost. The caller keeps its epoch where the lease is still there under it,
-- or was lost with the world.
--
-- KEYS: 1 registry:world, 2 instance:{instance}, 3 instances
-- ARGV: 1 instance, 2 state, 3 length of the lease in ms, 4 the beginning of a new world, 5 the random digits of the process,
--       6 the epoch that the caller had or '', 7 '1' where the caller may keep that epoch, 8 the world that the caller knew
--       or '', 9 the registration
-- Reply: {'OK', epoch, world, run id of the server or ''}; {'TAKEN'} where a younger process has the name

-- include server
local instance, state, lease_ms, random, floor = ARGV[1], ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local there = redis.call('HGET', KEYS[2], 'epoch') or ''
if #there > 64 or not string.find(there, '^%d+%-%x+$') then there = '' end
if floor ~= '' and there > floor and string.sub(there, 18) ~= random then return {'TAKEN'} end
local world = redis.call('GET', KEYS[1])
if not world or #world > 64 or not string.find(world, '^%x+$') or is_foreign(world) then
  world = ARGV[4] .. (server_id() or string.rep('0', 40))
  redis.call('SET', KEYS[1], world)
end
local epoch = floor
if floor == '' or ARGV[7] ~= '1' or not (there == floor or (there < floor and world ~= ARGV[8])) then
  local time = redis.call('TIME')
  local micros = time[1] * 1000000 + time[2]
  for _, each in ipairs({there, floor}) do
    local before = tonumber(string.sub(each, 1, 16))
    if before and before >= micros then micros = before + 1 end
  end
  epoch = string.format('%016.0f', micros) .. '-' .. random
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'epoch', epoch, 'registered', 0, 'state', state, 'connections', 0)
redis.call('HSET', KEYS[2], 'world', world, 'registration', ARGV[9])
redis.call('PEXPIRE', KEYS[2], lease_ms)
redis.call('SADD', KEYS[3], instance)
return {'OK', epoch, world, told('server', 'run_id') or ''}
