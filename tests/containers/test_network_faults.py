"""Faults of the network between real containers: cut, lost, slowed and healed, also where a helper was killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import docker
import pytest

from maro.testbed import Cluster, Member, RunnerError
from maro.testbed.runners.compose import RUN_LABEL, ComposeRunner, remove_leftovers
from maro.testbed.runners.docker_network import IMAGE_VARIABLE, ROLE, ROLE_LABEL
from tests.containers.conftest import IMAGES, NET_IMAGE, TRAINING_WITHIN_S, WITHIN_S
from tests.support.container_budget import containers
from tests.support.waiting import eventually

VARIABLES = {**IMAGES, "ACTORS": "3", "ROUNDS": "100000", "RATE": "20", "RESTART": "on-failure"}
CONNECT = "import socket; socket.create_connection(('{}', 6379), timeout=2)"
SHAPES = [
    ("loss", {"percent": 100}, "statistic"),
    ("bandwidth", {"kbit": 64}, "tbf|hashlimit"),
    ("delay", {"ms": 50}, "netem"),
]


@pytest.fixture(autouse=True)
def _helper_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IMAGE_VARIABLE, NET_IMAGE)


@pytest.fixture
def counting(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Cluster]:
    """A count that does not end by itself."""
    with containers(8), Cluster("counter", "compose", variables=VARIABLES, folder=tmp_path / "run") as cluster:
        cluster.wait_until_joined(WITHIN_S)
        yield cluster


def helpers(engine: docker.DockerClient, run_id: str) -> list[docker.models.containers.Container]:
    """The helpers of a run that there are, running or not."""
    labels = [f"{RUN_LABEL}={run_id}", f"{ROLE_LABEL}={ROLE}"]
    return engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True)


def reaches_redis(member: Member) -> bool:
    """Whether a new connection is made in time."""
    try:
        member.exec(["python", "-c", CONNECT.format("redis")])
    except RunnerError:
        return False
    return True


@pytest.mark.parametrize("direction", ["both", "in", "out"])
def test_one_is_cut_off_until_it_is_healed(engine: docker.DockerClient, counting: Cluster, direction: str) -> None:
    """Also where the helper that made the rules was killed; nothing of it is left, and nothing was lost."""
    one, other = counting.member("actor-1"), counting.member("actor-2")
    for kills in (False, True):
        # When one is cut off, Then it reaches nobody any more, and the others do
        with counting.inject("isolate", one, direction=direction):
            assert not reaches_redis(one)
            assert reaches_redis(other)
            for helper in helpers(engine, counting.run_id) if kills else []:
                helper.kill()
        # When that is healed, Then it does again
        eventually(lambda: reaches_redis(one), WITHIN_S, "a connection to Redis after the healing")
        assert helpers(engine, counting.run_id) == []
    verdict = counting.verdict()
    assert verdict.has_passed, verdict.report()


def test_groups_may_overlap(engine: docker.DockerClient, counting: Cluster) -> None:
    """Who is in two reaches both, and those in none reach everybody."""
    actors = [counting.member(f"actor-{number}") for number in (1, 2)]
    with counting.inject("partition", groups=[["actor-1", "learner-1"], ["learner-1", "redis-1"]]):
        assert not reaches_redis(actors[0])
        assert reaches_redis(actors[1])
        assert reaches_redis(counting.member("learner"))
    eventually(lambda: reaches_redis(actors[0]), WITHIN_S, "a connection to Redis after the healing")


@pytest.mark.parametrize(("kind", "parameters", "word"), SHAPES, ids=[kind for kind, _, _ in SHAPES])
def test_packets_are_lost_and_slowed_as_far_as_the_kernel_can(
    engine: docker.DockerClient, counting: Cluster, kind: str, parameters: dict[str, int], word: str
) -> None:
    """What it can't do is refused with its own words, and known beforehand."""
    unsupported = cast(ComposeRunner, counting.runner).network().unsupported([kind])
    assert helpers(engine, counting.run_id) == []
    if unsupported:
        assert kind == "delay"  # every kernel can do the others
        assert unsupported[kind].startswith("not supported here: ")
        with pytest.raises(RunnerError, match="not supported here"):
            counting.inject(kind, "actor-1", **parameters)
        assert helpers(engine, counting.run_id) == []
        return
    one = counting.member("actor-1")
    with counting.inject(kind, one, **parameters):
        (helper,) = helpers(engine, counting.run_id)
        _, said = helper.exec_run(["sh", "-c", "iptables -S; tc qdisc show"])
        assert any(each in said.decode() for each in word.split("|"))
        assert kind != "loss" or not reaches_redis(one)
    eventually(lambda: reaches_redis(one), WITHIN_S, "a connection to Redis after the healing")


def test_a_helper_of_a_dead_run_is_removed(engine: docker.DockerClient, counting: Cluster) -> None:
    """Given one whose run's owner is dead, when anybody looks for leftovers, then it is gone; those of others stay."""
    labels = {RUN_LABEL: "dead", "maro.run.owner": "0@nowhere", ROLE_LABEL: ROLE, "maro.testbed": "fault"}
    with counting.inject("isolate", "actor-1"):
        engine.containers.run(NET_IMAGE, ["sleep", "600"], detach=True, labels=labels, network_mode="none")
        remove_leftovers("dead")
        assert helpers(engine, "dead") == []
        assert len(helpers(engine, counting.run_id)) == 1


def test_a_missing_image_of_the_helper_is_named(
    engine: docker.DockerClient, counting: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With how to get it."""
    monkeypatch.setenv(IMAGE_VARIABLE, "maro-netfault:nowhere")
    with pytest.raises(RunnerError, match=r"need the image maro-netfault:nowhere, .*: build it from docker/netfault"):
        counting.inject("isolate", "actor-1")
    assert helpers(engine, counting.run_id) == []


def test_every_message_survives_partitions_and_loss(engine: docker.DockerClient, tmp_path: Path) -> None:
    """Given partitions of every shape and loss, all numbers are there in the end, and the verdict is clean."""
    variables = {**VARIABLES, "ROUNDS": "600", "RATE": "40"}
    with containers(8), Cluster("counter", "compose", variables=variables, folder=tmp_path / "run") as cluster:
        cluster.wait_until_joined(WITHIN_S)
        for kind, target, parameters in (
            ("isolate", "actor-1", {}),
            ("isolate", "learner-1", {"direction": "out"}),
            ("isolate", "any actor", {"direction": "in"}),
            ("partition", None, {"groups": "halves"}),
            ("loss", "actor-3", {"percent": 20}),
        ):
            with cluster.inject(kind, target, **parameters):
                assert not cluster.member("learner").exit_code
        assert cluster.wait_until_ended("learner", TRAINING_WITHIN_S) == {"learner-1": 0}
        verdict = cluster.verdict()
        assert verdict.has_passed, verdict.report()
        assert helpers(engine, cluster.run_id) == []
