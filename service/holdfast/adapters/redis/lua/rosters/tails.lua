-- Reads the seq of the last publication of conversations.
--
-- KEYS: 1 registry:era, 2… head:{conversation}
-- ARGV: 1 the generation of the store, 2 the layout
-- Reply: the present proof, then (seq, its stamp or '') of each; ('', '') where a head is missing or longer than any

-- include proof
-- include forget_head
local answer = {proof()}
for i = 2, #KEYS do
  local generation, seq, stamp = unpack(redis.call('HMGET', KEYS[i], 'generation', 'seq', 'seq_stamp'))
  local is_known = generation == ARGV[1] and seq
  if is_known and (#seq > 200 or #(stamp or '') > 200) then
    forget_head(KEYS[i], ARGV[1])
    is_known = false
  end
  answer[#answer + 1] = is_known and seq or ''
  answer[#answer + 1] = is_known and stamp or ''
end
return answer
