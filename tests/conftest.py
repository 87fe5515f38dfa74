from hypothesis import settings

settings.register_profile("holdfast", deadline=None)  # a busy machine is no failure
settings.load_profile("holdfast")

pytest_plugins = [
    "support.targets",
    "support.fixtures_logging",
    "support.fixtures_store",
    "support.fixtures_firestore",
    "support.fixtures_redis",
    "support.fixtures_cluster",
    "support.fixtures_kubernetes",
    "support.fixtures_kubectl",
    "support.fixtures_javascript",
    "support.hostile",
]
