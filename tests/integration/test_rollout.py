"""The main job, in full: a learner and four actors as real processes, with a real Redis where there is one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maro.testbed.launcher import LocalComponent, LocalGroup
from maro.testbed.redis_server import RedisServer
from tests.support.redis_servers import start_redis

pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install '.[examples]'")

WORKLOAD = "maro.testbed.workloads.rollout"
ACTORS = 4
GOAL = 475.0

# One after the other: two at once on two cores take twice as long each.
pytestmark = [pytest.mark.xdist_group("rollout"), pytest.mark.timeout(400)]


class Training:
    """A learner and its actors, and what the learner reported so far."""

    def __init__(self, group: LocalGroup, seed: int) -> None:
        options = ["--seed", str(seed)]
        self.learner = group.add("learner", 0, f"{WORKLOAD}.learner", [*options, "--json"], {"actor": ACTORS}, True)
        self.actors = [group.add("actor", n, f"{WORKLOAD}.actor", options, {"learner": 1}) for n in range(ACTORS)]
        self.last: dict[str, Any] = {}

    def reports(self) -> Iterator[dict[str, Any]]:
        """The learner's reports as they come, until it ends."""
        for line in self.learner.process.stdout or ():
            self.last = json.loads(line)
            yield self.last

    def logs(self) -> str:
        """The end of everybody's log, for a failure."""
        return "\n".join(f"--- {one.name}\n{one.last_lines()}" for one in [self.learner, *self.actors])


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with start_redis() as server:
        yield server


@pytest.mark.parametrize("seed", [1, 2])
def test_training_reaches_its_goal_although_an_actor_is_killed(seed: int, redis: RedisServer, tmp_path: Path) -> None:
    """Given four actors, when one is SIGKILLed half way and started again, it is used again and the goal is reached."""
    with LocalGroup(f"rollout-{seed}", redis.url, tmp_path) as group:
        training = Training(group, seed)
        victim: LocalComponent = training.actors[seed % ACTORS]
        delivered_before = 0
        for report in training.reports():
            if victim.starts == 1 and report["mean_return"] >= 200:
                delivered_before = report["episodes_by_actor"][victim.name]
                victim.kill()
                victim.start()

        assert training.learner.wait() == 0, training.logs()
        assert training.last["event"] == "finished"
        assert training.last["evaluation"] >= GOAL
        assert victim.starts == 2
        assert training.last["episodes_by_actor"][victim.name] > delivered_before, training.logs()
        assert set(training.last["episodes_by_actor"]) == {actor.name for actor in training.actors}


def test_training_survives_more_than_one_death(redis: RedisServer, tmp_path: Path) -> None:
    """Given a running training, when actors are killed, stopped for good and added, updates go on with who is there."""
    with LocalGroup("rollout-changes", redis.url, tmp_path) as group:
        training = Training(group, 3)
        reports = training.reports()
        report = next(reports)

        def until(predicate: Any) -> None:
            nonlocal report
            while not predicate(report):
                report = next(reports)

        until(lambda r: r["version"] >= 20)
        training.actors[0].kill()  # and not started again: its lease has to run out
        training.actors[1].ask_to_end()
        assert training.actors[1].wait() == 0
        until(lambda r: set(r["actors"]) == {"actor.2", "actor.3"} and r["event"] == "progress")
        version = report["version"]
        until(lambda r: r["version"] >= version + 20)

        newcomer = group.add("actor", 9, f"{WORKLOAD}.actor", ["--seed", "3"], {"learner": 1})
        until(lambda r: r["episodes_by_actor"].get(newcomer.name, 0) >= 5)
        assert training.learner.process.poll() is None, training.logs()


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10))
def test_training_reaches_its_goal_with_any_seed(seed: int, redis: RedisServer, tmp_path: Path) -> None:
    """Given any of ten seeds, training reaches a mean return of 475."""
    with LocalGroup(f"seed-{seed}", redis.url, tmp_path) as group:
        training = Training(group, seed)
        for _ in training.reports():
            pass
        assert training.learner.wait() == 0, training.logs()
        assert training.last["evaluation"] >= GOAL
