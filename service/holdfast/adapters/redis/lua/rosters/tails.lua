-- Reads the seq of the last publication of conversations.
--
-- KEYS: 1 registry:era, 2… head:{conversation}
-- ARGV: 1 the generation of the store, 2 the proof of the roster
-- Reply: the seq of each; nothing where the proof is no longer valid, or a head is missing

-- include proof
if proof() ~= ARGV[2] then return {} end
local answer = {}
for i = 2, #KEYS do
  local head = redis.call('HMGET', KEYS[i], 'generation', 'seq')
  if head[1] ~= ARGV[1] or not head[2] then return {} end
  answer[#answer + 1] = head[2]
end
return answer
