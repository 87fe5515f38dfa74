-- Defines read(command, key, ...): a read of a key whose name the script found out itself.
--
-- A key that holds another type than ours would make every command on it fail, for ever. It is deleted, and read returns false.

local function read(command, key, ...)
  local found = redis.pcall(command, key, ...)
  if not (type(found) == 'table' and found.err) then return found end
  if not string.find(found.err, 'WRONGTYPE') then return redis.call(command, key, ...) end
  redis.call('UNLINK', key)
  return false
end
