-- Defines server_id(): which start of which Redis this is, and since which promotion, as 40 hexadecimal digits.
-- Defines is_foreign(world): whether another server made that world.
--
-- server_id() is nil where an ACL forbids INFO, and then no world is foreign. The replication id changes also when the first
-- replica attaches: that costs one more registration.

-- include told
local function server_id()
  local run, replication = told('server', 'run_id'), told('replication', 'master_replid')
  return run and replication and redis.sha1hex(run .. '|' .. replication)
end
local function is_foreign(world)
  local server = server_id()
  return server and string.sub(world, -40) ~= server
end
