-- Defines told(section, name): an id of this Redis server, from INFO; '' where INFO lacks it, nil where an ACL forbids INFO.

local function told(section, name)
  local info = redis.pcall('INFO', section)
  return type(info) == 'string' and (string.match(info, name .. ':(%w+)') or '') or nil
end
