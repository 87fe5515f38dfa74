-- The surroundings of a script, as Redis 7.0 makes them. Run once for each interpreter; `...` is what Python lends.
local call, try, describe, sha1hex, decode = ...
local type, tostring, error, xpcall, rawset, loadstring = type, tostring, error, xpcall, rawset, loadstring
local getinfo, plain_pcall, concat, format, gsub = debug.getinfo, pcall, table.concat, string.format, string.gsub

-- What Redis has taken out, and what its own libraries would be that nothing here uses.
for _, name in ipairs({
  'dofile', 'getfenv', 'io', 'loadfile', 'module', 'newproxy', 'os', 'package', 'print', 'python', 'require', 'setfenv',
}) do _G[name] = nil end
math.random, math.randomseed = nil, nil
debug = false -- lupa asks for it at each call, outside of any protection: missing, it would end the process

local function is_error(value) return type(value) == 'table' and type(value.err) == 'string' end

-- What was raised: by Python an exception, which `describe` turns into {err = …}, of `redis.call` a table, else a text.
local function told(failure) return type(failure) == 'userdata' and describe(failure) or failure end

-- An error within a script is caught as its text.
function pcall(...)
  local function caught(ok, value, ...)
    if ok then return true, value, ... end
    value = told(value)
    return false, is_error(value) and value.err or value
  end
  return caught(plain_pcall(...))
end

-- `call` is no function of Lua, and so stays in sight of `located` when a script ends with `return redis.call(…)`.
redis = {
  call = call,
  pcall = try,
  sha1hex = sha1hex,
  status_reply = function(text) return { ok = text } end,
  error_reply = function(text) return { err = (gsub(text, '^%-', '')) } end,
}
cjson = { decode = decode }

rawset(_G, 'KEYS', {})
rawset(_G, 'ARGV', {})
setmetatable(_G, {
  __index = function(_, name) error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2) end,
  __newindex = function() error('Attempt to modify a readonly table', 2) end,
})

-- Where in the script: the innermost line of it, whatever of ours or of Lua's it had called.
local function located(failure)
  failure = told(failure)
  if type(failure) ~= 'table' then failure = { err = 'ERR ' .. tostring(failure) } end
  for level = 2, 40 do
    local place = getinfo(level, 'Sl')
    if not place then break end
    if place.source == '@user_script' then
      failure.source, failure.line = place.source, place.currentline
      if failure.text then failure.err = 'ERR user_script:' .. place.currentline .. ': ' .. failure.text end
      break
    end
  end
  return failure
end

local function line(text) return (gsub(text, '[\r\n]', ' ')) end

-- RESP2, as `luaReplyToRedisReply` does: numbers lose their fraction, an array ends at its first nil.
local function write(value, out)
  local kind = type(value)
  if kind == 'string' then
    out[#out + 1] = '$' .. #value .. '\r\n' .. value .. '\r\n'
  elseif kind == 'number' then
    out[#out + 1] = format(':%d\r\n', value)
  elseif kind == 'table' and is_error(value) then
    out[#out + 1] = '-' .. line(value.err) .. '\r\n'
  elseif kind == 'table' and type(value.ok) == 'string' then
    out[#out + 1] = '+' .. line(value.ok) .. '\r\n'
  elseif kind == 'table' then
    local place, count = #out + 1, 0
    out[place] = ''
    while value[count + 1] ~= nil do
      count = count + 1
      write(value[count], out)
    end
    out[place] = '*' .. count .. '\r\n'
  else
    out[#out + 1] = value == true and ':1\r\n' or '$-1\r\n'
  end
end

return {
  compile = function(source) return loadstring(source, '@user_script') end,
  run = function(script, keys, arguments)
    rawset(_G, 'KEYS', keys)
    rawset(_G, 'ARGV', arguments)
    local ok, value = xpcall(script, located)
    if not ok then return false, tostring(value.err), value.source or '', value.line or 0 end
    local out = {}
    write(value, out)
    return true, concat(out)
  end,
}
