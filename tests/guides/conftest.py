"""One cluster for all guides, with the settings that they name."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.guide_cluster import Cluster
from support.guides import Reader
from support.up import require_redis


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Started once."""
    require_redis()
    cluster = Cluster(tmp_path_factory.mktemp("guides"))
    asyncio.run(cluster.up.start())
    yield cluster
    asyncio.run(cluster.up.stop())


@pytest.fixture
async def reader(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Reader]:
    """In a checkout of their own. What a guide has killed before stays away, as long as no guide needs it."""
    reader = cluster.reader(tmp_path)
    yield reader
    reader.close()
