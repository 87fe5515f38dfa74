-- Defines proof(): the token on which all rosters depend.
--
-- The token names the layout of a row, the store's generation, the era, the server's run id and its replication id. A promoted
-- replica, and a server that came back from its snapshot, may have missed writes. The layout comes first, so that instances of
-- different versions, and those that sign and those that do not, do not read each other's rows. `roster_form.py` documents the
-- layout; its first version had no number.
--
-- KEYS: 1 registry:era
-- ARGV: 1 the generation of the store, 2 the layout

-- include told
local function proof()
  local found = redis.call('GET', KEYS[1])
  if found and (#found > 64 or not string.find(found, '^%x+$')) then redis.call('DEL', KEYS[1]) end
  local era = redis.call('GET', KEYS[1]) or ''
  local server, replica = assert(told('server', 'run_id')), assert(told('replication', 'master_replid'))
  return table.concat({ARGV[2], ARGV[1], era, server, replica}, '|')
end
