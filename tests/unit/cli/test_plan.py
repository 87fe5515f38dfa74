"""What `holdfast up` starts: names, ports, and what each part is told."""

import sys
import tempfile
from pathlib import Path

import pytest

from holdfast.cli.up import plan as plans

_OWN = {"HOLDFAST_REDIS__URL": "redis://elsewhere:6379/0", "HOLDFAST_STORE__URL": "firestore://project"}


def _plan(data: Path, environ: dict[str, str]) -> plans.Plan:
    return plans.make(data, 8000, 2, data / "secret", environ, 6379)


def test_instances_have_the_guides_names_and_follow_the_front(tmp_path: Path) -> None:
    """`instance-1` on 8001, `instance-2` on 8002: what the acceptance guide's commands say."""
    plan = _plan(tmp_path, _OWN)
    assert [(part.name, part.port, part.recipe.environment["INSTANCE_ID"]) for part in plan.instances] == [
        ("instance-1", 8001, "instance-1"),
        ("instance-2", 8002, "instance-2"),
    ]
    assert plan.instances[0].recipe.command[:4] == (sys.executable, "-m", "holdfast", "serve")


def test_the_users_own_redis_and_store_are_used(tmp_path: Path) -> None:
    """Then no Redis is started."""
    plan = _plan(tmp_path, _OWN)
    assert plan.redis is None
    assert not plan.has_own_store
    assert plan.instances[0].recipe.environment["HOLDFAST_STORE__URL"] == "firestore://project"


def test_otherwise_they_get_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis on the loopback and a store in the data directory."""
    monkeypatch.setattr(plans, "program", lambda name: f"/opt/{name}")
    plan = _plan(tmp_path, {})
    told = plan.instances[0].recipe.environment
    assert plan.redis is not None
    assert plan.redis.port == 6379
    assert told["HOLDFAST_REDIS__URL"] == "redis://127.0.0.1:6379/0"
    assert told["HOLDFAST_STORE__URL"] == f"sqlite:///{tmp_path}/holdfast.db"


def test_redis_takes_another_port_when_its_own_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's Redis is never written to; the port of a Redis that is about to listen is not taken."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(plans, "is_free", lambda port: True)
    with plans.claimed_redis_port() as port, plans.claimed_redis_port() as other:
        assert (port, other == 6379) == (6379, False)
    monkeypatch.setattr(plans, "is_free", lambda port: port != 6379)
    with plans.claimed_redis_port() as port:
        assert port != 6379


def test_without_any_redis_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the remedy."""
    monkeypatch.setattr(plans, "program", lambda name: None)
    with pytest.raises(plans.UpRefused, match="apt install redis-server"):
        _plan(tmp_path, {})


def test_the_secret_is_told_by_file_and_never_by_value(tmp_path: Path) -> None:
    """Start scripts and process lists show no secret; the environment's own is not mixed in."""
    told = (
        _plan(tmp_path, {**_OWN, "HOLDFAST_AUTH__SECRET": "x" * 32, "HOLDFAST_HTTP__PORT": "1"}).instances[0].recipe.environment
    )
    assert told["HOLDFAST_AUTH__SECRET_FILE"] == str(tmp_path / "secret")
    assert "HOLDFAST_AUTH__SECRET" not in told
    assert "HOLDFAST_HTTP__PORT" not in told


def test_other_settings_are_passed_on(tmp_path: Path) -> None:
    """`HOLDFAST_LIMITS__SENDS_PER_SECOND=0 holdfast up` is how a load test switches a limit off."""
    told = _plan(tmp_path, {**_OWN, "HOLDFAST_LIMITS__SENDS_PER_SECOND": "0", "HOME": "/x"}).instances[0].recipe.environment
    assert told["HOLDFAST_LIMITS__SENDS_PER_SECOND"] == "0"
    assert "HOME" not in told
