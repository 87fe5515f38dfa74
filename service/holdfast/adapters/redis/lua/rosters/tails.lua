-- Reads the seq of the last publication of conversations.
--
-- KEYS: 1 registry:era, 2… head:{conversation}
-- ARGV: 1 the generation of the store, 2 the layout, 3 the proof of the roster
-- Reply: (seq, its stamp or '') of each; nothing where the proof is no longer valid, or a head is missing or longer than any

-- include proof
-- include forget_head
if proof() ~= ARGV[3] then return {} end
local answer = {}
for i = 2, #KEYS do
  local head = redis.call('HMGET', KEYS[i], 'generation', 'seq', 'seq_stamp')
  if head[1] ~= ARGV[1] or not head[2] then return {} end
  if #head[2] > 200 or #(head[3] or '') > 200 then
    forget_head(KEYS[i], ARGV[1])
    return {}
  end
  answer[#answer + 1] = head[2]
  answer[#answer + 1] = head[3] or ''
end
return answer
