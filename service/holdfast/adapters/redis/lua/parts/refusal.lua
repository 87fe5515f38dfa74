-- Defines refusal(why): what a script answers about one user where Redis refused a write, for want of memory for example.
--
-- Of two errors the whole script ends: the caller removes a key of another type than ours, or leaves a server that was demoted, and
-- runs the script again.

local function refusal(why)
  if string.find(why, 'WRONGTYPE') or string.find(why, 'READONLY') then error(why, 0) end
  return {'REFUSED', why}
end
