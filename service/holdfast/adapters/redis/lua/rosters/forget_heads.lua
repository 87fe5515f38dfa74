-- Removes heads that no instance wrote.
--
-- KEYS: head:{conversation} of each
-- ARGV: 1 the generation of the store
-- Reply: 1

-- include forget_head
for _, head in ipairs(KEYS) do forget_head(head, ARGV[1]) end
return 1
