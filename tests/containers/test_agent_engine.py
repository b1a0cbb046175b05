"""The agent's edge to a real engine: its event stream broken, and two agents that are not in step."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from maro.agent.description import JOB_LABEL
from maro.agent.engine import Engine
from tests.containers.agent_trial import AgentTrial
from tests.containers.conftest import MARO_IMAGE, WITHIN_S
from tests.support.container_budget import containers
from tests.support.socket_gate import SocketGate
from tests.support.waiting import eventually


@pytest.fixture
def engine_socket() -> Path:
    """Where the engine listens."""
    kind, _, path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
    if kind != "unix":
        pytest.skip("the engine is not on this machine: DOCKER_HOST names no Unix socket")
    return Path(path)


@pytest.fixture
def job(engine: docker.DockerClient) -> Iterator[str]:
    """A job's id; whatever has its label is removed in the end."""
    name = f"maro-test-{uuid.uuid4().hex[:10]}"
    yield name
    for container in engine.containers.list(all=True, filters={"label": f"{JOB_LABEL}={name}"}):
        container.remove(force=True)


def test_what_happens_while_the_event_stream_is_broken_is_made_up_for(
    engine: docker.DockerClient, engine_socket: Path, tmp_path: Path
) -> None:
    """What was killed comes back, and what was stopped stays down."""
    with (
        containers(5),
        tempfile.TemporaryDirectory() as short,  # the path of a socket must be short
        SocketGate(Path(short) / "gate", engine_socket) as gate,
        AgentTrial(engine, tmp_path, socket=Path(short) / "gate") as trial,
    ):
        # Given an agent that has lost its engine
        trial.up()
        gate.cut()
        trial.await_said("the engine's event stream broke")

        # When one component is killed, and another one stopped
        killed = trial.kill("a")
        stopped = trial.project.container("b")
        stopped.container.stop(timeout=30)

        # Then the agent makes up for it once it has the engine again
        gate.open()
        trial.await_back("a", killed)
        trial.await_said("b was asked to end")
        trial.await_all_together("a", "c")
        assert trial.restarts("a") == 1
        assert not stopped.is_running


def test_an_agent_that_comes_late_does_not_start_what_has_ended_since(engine: docker.DockerClient, job: str) -> None:
    """The container that it would have made was made by another agent, ran, and failed: that is another failure."""
    # Given a failed container, in whose place an agent has put another one
    with containers(2):
        failed = _run(engine, job)
        failed.kill()
        failed.wait()
        first, late = Engine(job), Engine(job)
        first.replace(failed.id, "a")
        (made,) = _of(engine, job)
        assert made.id != failed.id
        assert made.status == "running"

        # When that one fails as well, and an agent comes to replace the first one
        made.kill()
        eventually(lambda: _of(engine, job)[0].status == "exited", WITHIN_S, "the end of the new container")
        late.replace(failed.id, "a")

        # Then nothing has happened
        assert [(found.id, found.status) for found in _of(engine, job)] == [(made.id, "exited")]
        first.close()
        late.close()


def _run(engine: docker.DockerClient, job: str) -> Container:
    return engine.containers.run(
        MARO_IMAGE,
        entrypoint=["sleep", "infinity"],
        detach=True,
        name=f"{job}-a",
        labels={JOB_LABEL: job, "maro.testbed": "agent"},
        environment={"COMPONENT_TYPE": "station", "COMPONENT_NAME": "a", "MARO_GROUP": "trial"},
        healthcheck={"test": ["NONE"]},
        init=True,
    )


def _of(engine: docker.DockerClient, job: str) -> list[Container]:
    return engine.containers.list(all=True, filters={"label": f"{JOB_LABEL}={job}"})
