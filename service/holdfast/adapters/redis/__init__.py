"""Redis: where instances meet. `RedisBus` and `RedisRegistry` over one `RedisLink`; redis-py's exceptions end here.

Losing it costs latency only, so nothing here waits long: every call has a deadline, one circuit breaker serves all of them,
and what cannot be sent is dropped and counted.
"""
