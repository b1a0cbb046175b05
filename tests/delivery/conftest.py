"""A trial for each test, in a Redis of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_servers import start_redis
from tests.support.trials import Trial

TIMEOUT_S = 240


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A hang is a failure, and shows where."""
    for item in items:
        if "trial" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """A new one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with start_redis() as redis:
        made = Trial(redis, tmp_path)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def dice() -> random.Random:
    """Another seed each time, which a failure shows; put it here to have the same kills again."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed: {seed}")
    return random.Random(seed)
