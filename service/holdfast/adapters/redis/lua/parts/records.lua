-- Defines decode(text): a record of a connection, nil where the text is no JSON of ours.
-- Defines lives(record): whether the lease of the record's instance has the same registration, and was taken in this world.
--
-- ARGV: 1 the world that the instance knows

-- include read
local function decode(text)
  local ok, record = pcall(cjson.decode, text)
  if ok and type(record) == 'table' and type(record.instance_id) == 'string' then
    return record
  end
end
local leases = {}
local function lease_of(instance)
  if leases[instance] == nil then
    leases[instance] = read('HMGET', 'instance:' .. instance, 'world', 'registration') or {}
  end
  return leases[instance]
end
local function lives(record)
  if record == nil or type(record.registration) ~= 'string' then return false end
  local lease = lease_of(record.instance_id)
  return lease[1] == ARGV[1] and lease[2] == record.registration
end
