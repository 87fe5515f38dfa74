-- Defines given_at(permit, proven): when this fill permit was given, by the time of Redis; nil where it is none.
--
-- A fill permit is the present proof, the time when it was given, and a random part: exactly these, because an instance signs what
-- depends on it. None was given in the future. Within half of its life another reader gets the same permit, so that many devices
-- of one user do not void each other's.

-- include now
local function given_at(permit, proven)
  if not permit or #permit > 1024 or string.sub(permit, 1, #proven) ~= proven then return nil end
  local given = tonumber(string.match(string.sub(permit, #proven + 1), '^|(%d+)|%x+$'))
  return given and given <= now and given or nil
end
