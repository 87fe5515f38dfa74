-- Defines is_younger(leave, ms): whether a fill permit was given within that time.
--
-- A fill permit is a proof, the time when it was given, and a random part. Within half of its life another reader gets the same
-- permit, so that many devices of one user do not void each other's.

-- include now
local function is_younger(leave, ms)
  local given = string.match(leave, '|(%d+)|%x+$')
  return given and now - tonumber(given) <= ms
end
