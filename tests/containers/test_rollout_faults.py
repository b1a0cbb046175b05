"""The rollout in containers, while its components are killed, stopped, paused, cut off and scaled.

Where the end of the training does not matter its target is one that is hardly ever reached: a fast machine is not done
before the fault is over.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from maro.testbed.compose_project import ServiceContainer
from tests.containers.conftest import TRAINING_WITHIN_S, Report, StartTopology, Topology
from tests.containers.net_faults import cut_off_for

ACTORS = 3


@pytest.fixture
def rollout(request: pytest.FixtureRequest, topology: StartTopology) -> Topology:
    """A rollout that is being trained: every actor has delivered episodes."""
    target = getattr(request, "param", "500")
    made = topology("rollout", ACTORS + 3, {"ACTORS": str(ACTORS), "TARGET": target})
    made.up()
    made.follow("every actor delivered", "learner", lambda reports: len(episodes(reports)) == ACTORS)
    return made


to_its_end = pytest.mark.parametrize("rollout", ["490"], indirect=True)


def latest(reports: list[Report]) -> Report:
    return reports[-1] if reports else {}


def episodes(reports: list[Report]) -> dict[str, int]:
    """Episodes by actor, as the learner reported last."""
    return dict(latest(reports).get("episodes_by_actor", {}))


def asked(reports: list[Report], actor: str) -> int:
    """How often an actor told the learner that it is there."""
    return sum(report["event"] == "ready" and report["who"] == actor for report in reports)


def restarted(reports: list[Report]) -> bool:
    """Whether a report counts less than the one before: another process counts."""
    return any(after["version"] < before["version"] for before, after in itertools.pairwise(reports))


def await_more_episodes(rollout: Topology, *actors: str) -> None:
    """Wait until the learner has got more episodes of each of these actors than now."""
    before = episodes(rollout.container("learner").reports())

    def all_more(reports: list[Report]) -> bool:
        now = episodes(reports)
        return all(now.get(actor, 0) > before.get(actor, 0) for actor in actors)

    rollout.follow(f"more episodes of {actors} than {before}", "learner", all_more)


def await_absence(rollout: Topology, actor: str) -> None:
    """Wait until the learner goes on without an actor."""
    rollout.follow(f"{actor} absent", "learner", lambda reports: actor not in latest(reports)["actors"])
    await_more_episodes(rollout, *(rollout.names("actor") - {actor}))


def assert_trained(rollout: Topology) -> Report:
    """Wait for the end of the training, which is a good one; the learner's last report."""
    learner = rollout.container("learner")
    assert learner.wait(TRAINING_WITHIN_S) == 0
    report: dict[str, Any] = learner.reports()[-1]
    assert report["event"] == "finished"
    assert report["evaluation"] >= 475
    return report


def an_actor(rollout: Topology) -> ServiceContainer:
    return rollout.containers("actor")[0]


@to_its_end
def test_an_actor_that_is_killed_rejoins_and_training_ends_well(rollout: Topology) -> None:
    """SIGKILL in the middle of training; the restart policy brings it back under its name."""
    # Given an actor that plays
    victim = an_actor(rollout)

    # When it is killed
    victim.crash()

    # Then it comes back by its restart policy, asks the learner for weights under its name, and plays again
    rollout.follow("the victim asked again", "learner", lambda reports: asked(reports, victim.component) >= 2)
    assert victim.restarts == 1
    await_more_episodes(rollout, victim.component)
    assert set(assert_trained(rollout)["episodes_by_actor"]) == rollout.names("actor")


@to_its_end
def test_a_learner_that_is_killed_comes_back_and_trains_afresh(rollout: Topology) -> None:
    """Its weights are gone; its actors are not."""
    # Given a learner that has come some way
    learner = rollout.container("learner")
    rollout.follow("some updates", "learner", lambda reports: latest(reports)["version"] >= 50)

    # When it is killed
    learner.crash()

    # Then it starts again from the beginning, with the same actors, which were not started again
    rollout.follow("it began afresh", "learner", restarted)
    assert learner.restarts == 1
    assert set(assert_trained(rollout)["episodes_by_actor"]) == rollout.names("actor")
    assert [actor.restarts for actor in rollout.containers("actor")] == [0] * ACTORS


def test_an_actor_that_is_paused_for_longer_than_a_lease_goes_on_where_it_was(rollout: Topology) -> None:
    """The others go on without it meanwhile."""
    # Given an actor that is frozen until its lease is over
    paused = an_actor(rollout)
    paused.pause()
    await_absence(rollout, paused.component)

    # When it thaws
    paused.unpause()

    # Then it plays again, as the same process
    await_more_episodes(rollout, *rollout.names("actor"))
    assert paused.restarts == 0


def test_docker_stop_leaves_the_group_cleanly(rollout: Topology) -> None:
    """The engine's stop signal is a leave: exit code 0, no restart, no lease to wait for."""
    # Given an actor that plays
    stopped = an_actor(rollout)

    # When the engine stops it
    stopped.container.stop(timeout=30)

    # Then it has left by itself, rather than being killed, the others go on, and it stays away
    assert stopped.exit_code == 0
    assert stopped.component not in rollout.registered("actor")
    await_absence(rollout, stopped.component)
    assert not stopped.is_running


def test_redis_killed_and_restarted_empty_costs_nobody_their_peers(rollout: Topology) -> None:
    """Everybody goes on, and registers again by themselves."""
    # Given a Redis that holds the group
    redis = rollout.container("redis")
    everybody = rollout.names("actor")
    assert rollout.registered("actor") == everybody

    # When it is killed, and comes back with nothing
    redis.crash()

    # Then all register again, and go on together, with nobody declared gone
    rollout.follow(
        "all registered", "learner", lambda _: redis.restarts == 1 and rollout.registered("actor") == everybody
    )
    await_more_episodes(rollout, *everybody)
    reports = rollout.container("learner").reports()
    assert all(set(report["actors"]) == everybody for report in reports if report["version"] > 0)
    assert [container.restarts for container in rollout.containers("actor")] == [0] * ACTORS


def test_an_actor_that_is_cut_off_for_20_seconds_comes_back_when_the_network_heals(rollout: Topology) -> None:
    """Nothing in the container is told of it; its packets are dropped both ways."""
    # Given an actor whose network is cut
    victim = an_actor(rollout)
    with cut_off_for(victim, 20):
        # Then the others go on without it
        await_absence(rollout, victim.component)

    # And when the network is whole again, it plays again, as the same process
    await_more_episodes(rollout, *rollout.names("actor"))
    assert victim.restarts == 0


def test_actors_are_added_and_taken_away_while_it_runs(rollout: Topology) -> None:
    """Scaling is joining and leaving; the learner waits for nobody."""
    # Given more actors than there were
    before = rollout.names("actor")
    rollout.up("--no-recreate", "--scale", f"actor={ACTORS + 1}")
    (added,) = rollout.names("actor") - before
    await_more_episodes(rollout, *before, added)

    # When there are fewer than in the beginning
    rollout.up("--no-recreate", "--scale", f"actor={ACTORS - 1}")

    # Then those that are left go on, and nobody else is waited for
    left = rollout.names("actor")
    assert len(left) == ACTORS - 1
    rollout.follow("only those left", "learner", lambda reports: set(latest(reports)["actors"]) == left)
    await_more_episodes(rollout, *left)
