"""The workload `multi_learner`: two learners and four actors as real processes, with a real Redis if there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from maro.testbed.launcher import LocalGroup
from tests.support.redis_servers import start_redis
from tests.support.reports import Reports

pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install '.[examples]'")

LEARNER = "maro.testbed.workloads.multi_learner.learner"
ACTOR = "maro.testbed.workloads.rollout.actor"
ACTORS = 4
GOAL = 195.0

# One after the other: two at once on two cores take twice as long each.
pytestmark = [pytest.mark.xdist_group("multi_learner"), pytest.mark.timeout(400)]


class Trainings:
    """Two learners and the actors that they share."""

    def __init__(self, group: LocalGroup, *options: Sequence[str]) -> None:
        self.learners = []
        for number in range(2):
            arguments = ["--seed", str(number + 1), "--json", *(options[number] if options else ())]
            learner = group.add("learner", number, LEARNER, arguments, {"actor": ACTORS, "learner": 1}, piped=True)
            self.learners.append(Reports(group, learner))
        self.actors = [group.add("actor", n, ACTOR, ["--seed", str(n)], {"learner": 2}) for n in range(ACTORS)]

    def end_well(self) -> None:
        """Wait for the end, and check that both learners have reached their goals with everybody's help."""
        names = {actor.name for actor in self.actors}
        for learner in self.learners:
            assert learner.exit_code() == 0, learner.logs()
            assert learner.last["event"] == "finished"
            assert learner.last["evaluation"] >= GOAL
            assert set(learner.last["episodes_by_actor"]) == names
            assert list(learner.last["others"].values()) == [True]
        assert all(actor.process.poll() is None for actor in self.actors)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[LocalGroup]:
    """A group of its own, in a Redis of its own."""
    with start_redis() as redis, LocalGroup("multi-learner", redis.url, tmp_path) as group:
        yield group


def test_both_learners_reach_their_goals_although_an_actor_is_killed(group: LocalGroup) -> None:
    """Given two learners, when a shared actor is SIGKILLed and restarted, both use it again and reach their goals."""
    trainings = Trainings(group)
    victim = trainings.actors[2]
    for learner in trainings.learners:
        learner.until(lambda report: report["mean_return"] >= 60)
    victim.kill()
    victim.start()

    trainings.end_well()
    for learner in trainings.learners:
        ready = [report for report in learner.all if report["event"] == "ready" and report["who"] == victim.name]
        before, after = ready[-1]["episodes_by_actor"][victim.name], learner.last["episodes_by_actor"][victim.name]
        assert len(ready) >= 2
        assert after > before > 0, learner.logs()


def test_a_learner_that_is_killed_starts_afresh_and_the_other_one_waits(group: LocalGroup) -> None:
    """Given two learners, when one is SIGKILLed and restarted, it trains from the start, and they end together."""
    trainings = Trainings(group)
    survivor, victim = trainings.learners
    victim.until(lambda report: report["mean_return"] >= 100)
    victim.restart()

    trainings.end_well()
    afresh = victim.all[1 + [report["event"] for report in victim.all].index("killed by the test") :]
    assert afresh[0]["version"] == 0
    waiting = survivor.until(lambda report: report["event"] == "waiting")
    assert waiting["others"] == {victim.component.name: None}
    assert survivor.last["at"] >= victim.until(lambda report: report["event"] == "waiting")["at"]


def test_a_learner_whose_goal_was_reached_waits_for_one_that_was_killed(group: LocalGroup) -> None:
    """Given a learner that waits for the other one, when it is SIGKILLed, its result is gone until it has trained."""
    trainings = Trainings(group, ["--target", "20"], ["--target", "195"])
    early, late = trainings.learners
    early.until(lambda report: report["event"] == "waiting")
    early.restart()

    for learner in trainings.learners:
        assert learner.exit_code() == 0, learner.logs()
        assert learner.last["event"] == "finished"
    assert [report["event"] for report in early.all].count("waiting") == 2
    assert late.last["others"] == {early.component.name: True}


def test_both_learners_fail_where_one_misses_its_goal(group: LocalGroup) -> None:
    """Given a learner that is allowed too few updates, when it gives up, both learners say so and fail."""
    trainings = Trainings(group, ["--target", "20"], ["--max-updates", "20"])
    able, unable = trainings.learners
    for learner in (able, unable):
        assert learner.exit_code() == 1, learner.logs()
        assert learner.last["event"] == "failed"
    assert "learner.1 failed: no success after 20 updates" in unable.component.last_lines()
    assert "learner.0 failed: not all of the others have reached their goals" in able.component.last_lines()
