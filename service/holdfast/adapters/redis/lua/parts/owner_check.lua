-- Ends the script with {'LEASE'} unless the lease of the reaped instance is as expected.
--
-- KEYS: 2 instance:{instance}, the lease of the reaped instance
-- ARGV: 2 the registration that the lease must have; '' where there must be no lease

local lease = redis.call('HMGET', KEYS[2], 'epoch', 'registration')
local is_as_expected = lease[2] == ARGV[2]
if ARGV[2] == '' then is_as_expected = not lease[1] end
if not is_as_expected then return {'LEASE'} end
