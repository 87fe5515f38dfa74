-- Publishes the messages of one commit, and keeps them for gap fill.
--
-- PUBLISH comes first: at `maxmemory` Redis refuses ZADD, while PUBLISH still works, and the message goes out.
-- A re-encoded message replaces the one that has its seq, so that a seq never occurs twice. An entry begins with the store's
-- generation. Entries of another generation are removed, or their higher seqs would displace ours.
--
-- KEYS: 1 recent:{conversation}, 2 head:{conversation}
-- ARGV: 1 channel, 2 envelope, 3 seq of the first message, 4 TTL of `recent` in ms,
--       5 most entries, 6 most bytes, 7 the generation of the store, 8 the beginning of each entry,
--       9 the stamp of the last seq or '', 10… the messages
-- Reply: the number of subscribers that received the envelope

-- include raise
local recent, head = KEYS[1], KEYS[2]
local generation = ARGV[7]
local channel, envelope = ARGV[1], ARGV[2]
local first, ttl, max_entries, max_bytes = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local receivers = redis.call('PUBLISH', channel, envelope)
local count = #ARGV - 9
if count == 0 then return receivers end
raise(head, generation, 'seq', first + count - 1, ARGV[9])
local before = redis.call('ZREVRANGE', recent, 0, 0)[1]
local ours = ARGV[8] .. ' '
if before and string.sub(before, 1, #ours) ~= ours then redis.call('DEL', recent) end
redis.call('ZREMRANGEBYSCORE', recent, first, first + count - 1)
for i = 1, count do redis.call('ZADD', recent, first + i - 1, ours .. ARGV[9 + i]) end
redis.call('ZREMRANGEBYRANK', recent, 0, -max_entries - 1)
local bytes, kept = 0, 0
local newest = redis.call('ZREVRANGE', recent, 0, -1)
for _, message in ipairs(newest) do
  bytes = bytes + #message
  if bytes > max_bytes then break end
  kept = kept + 1
end
if kept < #newest then redis.call('ZREMRANGEBYRANK', recent, 0, #newest - kept - 1) end
redis.call('PEXPIRE', recent, ttl)
return receivers
