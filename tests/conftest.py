pytest_plugins = ["support.fixtures_store", "support.fixtures_redis", "support.fixtures_cluster", "support.hostile"]
