-- Defines given_at(leave): when a fill permit was given, by the time of Redis.
-- Defines is_younger(leave, ms): whether it was given within that time.
--
-- A fill permit is a proof, the time when it was given, and a random part. Within half of its life another reader gets the same
-- permit, so that many devices of one user do not void each other's.

-- include now
local function given_at(leave) return tonumber(string.match(leave, '|(%d+)|%x+$')) end
local function is_younger(leave, ms)
  local given = given_at(leave)
  return given and now - given <= ms
end
