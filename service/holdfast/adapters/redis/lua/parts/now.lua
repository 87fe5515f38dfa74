-- Defines now: the time of Redis in Unix milliseconds.

local now = redis.call('TIME'); now = now[1] * 1000 + math.floor(now[2] / 1000)
