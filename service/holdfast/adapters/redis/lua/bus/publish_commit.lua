-- Publishes the messages of one commit, and keeps them for gap fill. No message is read back.
--
-- PUBLISH comes first: at `maxmemory` Redis refuses ZADD, while PUBLISH still works, and the message goes out.
-- A re-encoded message replaces the one that has its seq, so that a seq never occurs twice. An entry begins with the store's
-- generation. Entries of another generation are removed, or their higher seqs would displace ours: the field `kept` of the head
-- says how the entries in `recent` begin. A head that is new, or of another generation, has no such field.
--
-- KEYS: 1 recent:{conversation}, 2 head:{conversation}
-- ARGV: 1 channel, 2 envelope, 3 seq of the first message, 4 TTL of `recent` in ms, 5 most entries,
--       6 the generation of the store, 7 the beginning of each entry, 8 the stamp of the last seq or '',
--       9… the messages, '' for one that is not kept
-- Reply: the number of subscribers that received the envelope

-- include raise
local recent, head = KEYS[1], KEYS[2]
local first, most, ours = tonumber(ARGV[3]), tonumber(ARGV[5]), ARGV[7]
local receivers = redis.call('PUBLISH', ARGV[1], ARGV[2])
local count = #ARGV - 8
if count == 0 then return receivers end
raise(head, ARGV[6], 'seq', first + count - 1, ARGV[8])
if redis.call('HGET', head, 'kept') ~= ours then
  local newest = redis.call('ZREVRANGE', recent, 0, 0)[1]
  if newest and string.sub(newest, 1, #ours + 1) ~= ours .. ' ' then redis.call('DEL', recent) end
  redis.call('HSET', head, 'kept', ours)
end
redis.call('ZREMRANGEBYSCORE', recent, first, first + count - 1)
local entries = {}
for i = math.max(1, count - most + 1), count do
  if ARGV[8 + i] ~= '' then
    entries[#entries + 1] = first + i - 1
    entries[#entries + 1] = ours .. ' ' .. ARGV[8 + i]
  end
end
if #entries > 0 then redis.call('ZADD', recent, unpack(entries)) end
redis.call('ZREMRANGEBYRANK', recent, 0, -most - 1)
redis.call('PEXPIRE', recent, ARGV[4])
return receivers
