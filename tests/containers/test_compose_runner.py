"""The runner of containers: the same interface as that of processes, over a real engine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import docker
import pytest

from maro.testbed import Cluster, RunnerError
from maro.testbed.compose_file import read_compose_file
from maro.testbed.compose_project import project_labels
from maro.testbed.runners.compose import OWNER_LABEL, RUN_LABEL, ComposeRunner, remove_leftovers
from maro.testbed.runners.compose_member import FAIL_POINT_FILE
from maro.testbed.runners.leftovers import owner_mark
from tests.containers.conftest import IMAGES, TRAINING_WITHIN_S, WITHIN_S
from tests.support.container_budget import containers
from tests.support.programs import started, write_program
from tests.support.waiting import eventually

VARIABLES = {**IMAGES, "ACTORS": "2", "TARGET": "500", "MARO_REPORT": "json"}


@pytest.fixture
def rollout(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Cluster]:
    """A training whose components have all joined, and which hardly ever ends."""
    with (
        ExitStack() as stack,
        containers(4),
        Cluster("rollout", "compose", variables=VARIABLES, folder=tmp_path / "run") as cluster,
    ):
        stack.callback(lambda: print(f"the logs are in {cluster.folder}"))
        cluster.wait_until_joined(WITHIN_S)
        yield cluster


def projects_of(run_id: str) -> set[str]:
    """The projects that carry a run's id."""
    return {project for project, labels in project_labels() if labels.get(RUN_LABEL) == run_id}


def test_members_can_be_killed_stopped_paused_and_started(rollout: Cluster) -> None:
    """A kill is a crash for the restart policy; a stop is none."""
    assert [member.label for member in rollout.members] == ["actor-1", "actor-2", "learner-1", "redis-1"]
    victim, other = rollout.member("actor-1"), rollout.member("actor-2")
    # When one is killed, Then its policy starts it again, and it joins under its name
    name = victim.component
    rollout.kill("actor-1")
    rollout.wait_until_joined(WITHIN_S)
    assert (victim.starts, victim.component, victim.exit_code) == (2, name, None)
    # When one is stopped, Then it has left by itself, and stays down
    rollout.stop("actor-2", timeout_s=30)
    assert (other.exit_code, other.was_stopped, other.is_running) == (0, True, False)
    with pytest.raises(RunnerError, match="actor-2 does not run; start it first"):
        rollout.kill("actor-2")
    # When it is started, Then it joins again
    rollout.start("actor-2")
    rollout.wait_until_joined(WITHIN_S)
    assert (other.starts, other.was_stopped) == (2, False)
    # When one is paused, Then it counts as running, and a kill ends it all the same
    rollout.pause("actor-1")
    assert victim.is_running
    rollout.kill("actor-1")
    rollout.wait_until_joined(WITHIN_S)
    assert victim.starts == 3


def test_commands_redis_and_what_a_component_finds(rollout: Cluster) -> None:
    """Its journal's folder can be written to by the image's user, and its fail points are its own."""
    actor = rollout.member("actor-1")
    # Given a component that writes into the journal's folder
    assert rollout.exec(actor, ["sh", "-c", 'echo "$MARO_JOURNAL" > "$MARO_JOURNAL/probe"; id -u']) == "10001\n"
    assert (rollout.folder / "journals" / "probe").read_text() == "/maro-journals\n"
    # When fail points are set, none of which it comes to, Then only this component sees them
    rollout.runner.set_fail_points(actor, "after-receive=kill@1000000")
    assert rollout.exec(actor, ["cat", FAIL_POINT_FILE]) == "after-receive=kill@1000000"
    with pytest.raises(RunnerError, match=r"failed in actor-2 with code 1: .*No such file"):
        rollout.exec("actor-2", ["cat", FAIL_POINT_FILE])
    # And Redis answers as its command line does
    assert rollout.redis_command("SET", "k", "v w") == "OK"
    assert rollout.redis_command("GET", "k") == "v w"
    assert rollout.redis_command("GET", "none") == ""
    with pytest.raises(RunnerError, match="integer"):
        rollout.redis_command("INCR", "k")
    names = {rollout.member(label).component for label in ("actor-1", "actor-2")}
    eventually(
        lambda: set(rollout.redis_command("HKEYS", "rollout:actor").split()) == names, WITHIN_S, "both are registered"
    )


def test_a_topology_comes_to_its_verified_end_and_nothing_is_left(engine: docker.DockerClient, tmp_path: Path) -> None:
    """The logs are kept in the run's folder."""
    variables = {**IMAGES, "STAGES": "2", "NUMBERS": "200", "MARO_REPORT": "json"}
    with containers(7), Cluster("pipeline", "compose", variables=variables, folder=tmp_path / "run") as cluster:
        assert cluster.wait_until_ended("source", TRAINING_WITHIN_S) == {"source-1": 0}
        assert projects_of(cluster.run_id)
    assert not projects_of(cluster.run_id)
    assert '"event": "finished"' in (tmp_path / "run" / "source-1.log").read_text()


def test_an_id_that_is_taken_is_refused(rollout: Cluster, tmp_path: Path) -> None:
    """And the run that has it goes on."""
    file = cast(ComposeRunner, rollout.runner).file
    with pytest.raises(RunnerError, match=f"there is a project maro-run-{rollout.run_id} already"):
        ComposeRunner(file, tmp_path / "other", run_id=rollout.run_id)
    assert all(member.is_running for member in rollout.members)


def test_what_compose_refuses_is_one_line_and_leaves_nothing(engine: docker.DockerClient, tmp_path: Path) -> None:
    """An image that is not there."""
    file = tmp_path / "compose.yaml"
    file.write_text(
        "services: {a: {image: 'maro-no-such-image:0', pull_policy: never, environment: [COMPONENT_TYPE=a]}}"
    )
    runner = ComposeRunner(read_compose_file(file), tmp_path / "run")
    with pytest.raises(RunnerError, match=r"`docker compose up .*maro-no-such-image") as refusal:
        runner.start()
    assert "\n" not in str(refusal.value)
    assert not projects_of(runner.run_id)


OWNER = """
    import sys, time
    from pathlib import Path
    from maro.testbed import Cluster

    variables = dict(item.split("=", 1) for item in sys.argv[3:])
    with Cluster("rollout", "compose", variables=variables, folder=Path(sys.argv[1]), run_id=sys.argv[2]):
        print("started", flush=True)
        time.sleep(1000)
    """


def test_what_a_sigkilled_owner_leaves_is_found_by_its_labels(engine: docker.DockerClient, tmp_path: Path) -> None:
    """Not before it is dead, and not what others own."""
    run_id = f"left-{os.getpid()}"
    program = write_program(tmp_path / "owner.py", OWNER)
    variables = [f"{name}={value}" for name, value in VARIABLES.items()]
    with containers(4), started([sys.executable, program, tmp_path / "run", run_id, *variables], tmp_path) as owner:
        try:
            owner.wait_for_line("started", WITHIN_S)
            # Given an owner that lives, then nothing is removed
            marks = {labels[OWNER_LABEL] for _, labels in project_labels() if labels.get(RUN_LABEL) == run_id}
            assert marks == {owner_mark(owner.process.pid)}
            assert remove_leftovers(run_id) == []
            # When it is killed
            owner.signal(signal.SIGKILL)
            owner.exit_code()
            assert projects_of(run_id) == {f"maro-run-{run_id}"}
            # Then its project is found and removed
            assert remove_leftovers(run_id) == [f"maro-run-{run_id}"]
        finally:
            eventually(lambda: not (remove_leftovers(run_id) or projects_of(run_id)), WITHIN_S, "an end of the run")
