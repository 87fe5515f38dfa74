pytest_plugins = ["support.fixtures_redis"]
