-- Reads the rosters of users; where there is none that may be believed, gives a fill permit.
--
-- A head is written with every roster and outlives it. A head that is missing was evicted, and then it is not known what was
-- published since.
--
-- What is longer than anything of ours is removed here: it would be sent to an instance whenever the user connects.
--
-- KEYS: 1 registry:era, 2… member:{user}
-- ARGV: 1 the generation of the store, 2 the layout, 3 random hexadecimal digits, 4 life of a fill permit in ms, 5 how many rows are
--       enough for one script: the users behind them are not looked at
-- Reply: of each user that was looked at, the first one in any case:
--        {'ROWS', proof, what signs the roster or '', (conversation, row, whether its read cursor is being written, seq, its stamp
--        or '', revision, its stamp or '', number of members)…}, {'FILL', fill permit} or {'REFUSED', why}

-- include proof
-- include fill_permit
-- include read
-- include forget_head
-- include refusal
local longest = {['.proof'] = 1024, ['.filling'] = 1024, ['.signed'] = 200}
local proven, count = proof(), 0
local function fields_of(member)
  if redis.call('HLEN', member) > 10000 then redis.call('UNLINK', member) end
  local fields = redis.call('HGETALL', member)
  for i = 1, #fields, 2 do
    if #fields[i] > 300 or #fields[i + 1] > (longest[fields[i]] or 300) then
      redis.call('UNLINK', member)
      return {}
    end
  end
  return fields
end
local function answer(fields, rows, moving, signed)
  local found = {'ROWS', proven, signed or ''}
  for _, i in ipairs(rows) do
    local head = read(
      'HMGET', 'head:' .. fields[i], 'generation', 'seq', 'seq_stamp', 'revision', 'revision_stamp', 'members'
    ) or {}
    for at = 2, #head do
      if head[at] and #head[at] > 200 then
        forget_head('head:' .. fields[i], ARGV[1])
        return nil
      end
    end
    local generation, seq, seq_stamp, revision, revision_stamp, members = unpack(head)
    if generation ~= ARGV[1] or not (seq and revision) then return nil end
    for _, part in ipairs({
      fields[i], fields[i + 1], moving[fields[i]] or 0, seq, seq_stamp or '', revision, revision_stamp or '', members or '0'
    }) do found[#found + 1] = part end
  end
  return found
end
local function look(member)
  local fields, rows, moving, special = fields_of(member), {}, {}, {}
  for i = 1, #fields, 2 do
    local first = string.sub(fields[i], 1, 1)
    if first == '?' then moving[fields[i + 1]] = 1
    elseif first == '.' then special[fields[i]] = fields[i + 1]
    else rows[#rows + 1] = i end
  end
  count = count + #rows
  if special['.proof'] then
    local found = special['.proof'] == proven and answer(fields, rows, moving, special['.signed'])
    if found then return found end
    redis.call('HDEL', member, '.proof', '.filling', '.signed')
    for _, i in ipairs(rows) do redis.call('HDEL', member, fields[i]) end
    special['.filling'] = nil
  end
  if redis.call('SET', KEYS[1], ARGV[3], 'NX') then proven = proof() end
  local leave = special['.filling']
  local given = given_at(leave, proven)
  if not given or now - given > ARGV[4] / 2 then leave = proven .. '|' .. now .. '|' .. ARGV[3] end
  redis.call('HSET', member, '.filling', leave)
  redis.call('PEXPIRE', member, ARGV[4])
  return {'FILL', leave}
end
local answers = {}
for i = 2, #KEYS do
  if i > 2 and count > tonumber(ARGV[5]) then break end
  local ok, found = pcall(look, KEYS[i])
  answers[i - 1] = ok and found or refusal(found)
end
return answers
