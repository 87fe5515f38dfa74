-- Writes the rosters of users, each under a fill permit.
--
-- KEYS: 1 registry:era, 2… member:{user}
-- ARGV: 1 the generation of the store, 2 the layout, 3 life of a fill permit in ms, then of each user: the fill permit, TTL of the
--       roster in ms, what signs the roster or '', number of conversations, (conversation, row, seq, its stamp, revision, its stamp,
--       number of members) of each
-- Reply: of each user 1; 0 where the permit is no longer valid, or is older than the removal of a head; or {'REFUSED', why}

-- include proof
-- include fill_permit
-- include raise
-- include read
-- include refusal
local proven = proof()
local function fill(member, first)
  local permit, last = ARGV[first], first + 3 + 7 * ARGV[first + 3]
  if redis.call('HGET', member, '.filling') ~= permit then return 0 end
  redis.call('HDEL', member, '.filling', '.signed')
  local given = given_at(permit, proven)
  if not given or now - given > tonumber(ARGV[3]) then return 0 end
  for i = first + 4, last, 7 do
    local forgotten = tonumber(read('HGET', 'head:' .. ARGV[i], 'forgotten'))
    if forgotten and forgotten >= given and forgotten <= now then return 0 end
  end
  for i = first + 4, last, 7 do
    redis.call('HSET', member, ARGV[i], ARGV[i + 1])
    local head = 'head:' .. ARGV[i]
    raise(head, ARGV[1], 'seq', tonumber(ARGV[i + 2]), ARGV[i + 3])
    raise(head, ARGV[1], 'revision', tonumber(ARGV[i + 4]), ARGV[i + 5], 'members', ARGV[i + 6])
  end
  if ARGV[first + 2] ~= '' then redis.call('HSET', member, '.signed', ARGV[first + 2]) end
  redis.call('HSET', member, '.proof', proven)
  redis.call('PEXPIRE', member, ARGV[first + 1])
  return 1
end
local answers, first = {}, 4
for i = 2, #KEYS do
  local ok, found = pcall(fill, KEYS[i], first)
  answers[i - 1] = ok and found or refusal(found)
  first = first + 4 + 7 * ARGV[first + 3]
end
return answers
