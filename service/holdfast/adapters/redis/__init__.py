"""Redis: the connection between instances. `RedisBus` and `RedisRegistry` over one `RedisLink`; redis-py's exceptions end here.

Losing Redis costs latency only, so nothing here waits long: every call has a deadline, one circuit breaker serves all of them,
and a call that cannot be sent is dropped and counted.
"""
