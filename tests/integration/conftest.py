"""A group for each test, in a Redis that the tests of one worker share, or that is the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from maro.testbed.redis_server import RedisServer
from tests.support.components import Group
from tests.support.redis_servers import start_redis

TIMEOUT_S = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A hang is a failure, and shows where."""
    for item in items:
        uses_group = {"group", "fragile_group"} & set(getattr(item, "fixturenames", ()))
        if uses_group and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def shared_redis(_own_home: None) -> Iterator[RedisServer]:
    """A server for all groups that leave it alone."""
    with start_redis() as server:
        yield server


@pytest.fixture
def redis(_clean_environment: None) -> Iterator[RedisServer]:
    """A server of the test's own, to be killed and paused."""
    with start_redis() as server:
        yield server


def _group(server: RedisServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    monkeypatch.setenv("HOME", str(folder))
    group = Group(server, folder)
    try:
        yield group
    finally:
        group.end()


@pytest.fixture
def group(shared_redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    """A new group."""
    yield from _group(shared_redis, tmp_path, monkeypatch)


@pytest.fixture
def fragile_group(redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    """A new group whose Redis may be killed."""
    yield from _group(redis, tmp_path, monkeypatch)
