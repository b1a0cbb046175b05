"""The image: what it is made of, and how a component in it starts, leaves and fails."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.containers.conftest import IMAGES, MARO_IMAGE, REDIS_IMAGE, ROOT, WITHIN_S
from tests.support.container_budget import containers
from tests.support.waiting import eventually

MEGABYTE = 1_000_000
LABELS = {"maro.testbed": "test"}

Run = Callable[..., Container]


@pytest.fixture
def run(engine: docker.DockerClient) -> Iterator[Run]:
    """Starts containers of a network of their own, which end with the test; prints what they wrote."""
    with ExitStack() as stack:
        stack.enter_context(containers(3))
        network = stack.enter_context(Network(docker_network_kw={"labels": LABELS}))

        def start(
            image: str,
            command: list[str],
            name: str = "",
            environment: Mapping[str, str] | None = None,
            program: Path | None = None,
            **options: Any,
        ) -> Container:
            made = (
                DockerContainer(image)
                .with_command(command)
                .with_envs(**(environment or {}))
                .with_network(network)
                .with_network_aliases(name or f"c-{uuid.uuid4().hex[:8]}")
                .with_kwargs(labels=LABELS, init=True, **options)
            )
            if program is not None:
                made.with_volume_mapping(str(program), "/program.py", "ro")
            stack.enter_context(made)
            container = made.get_wrapped_container()
            stack.callback(lambda: print(f"--- {command} wrote:\n{container.logs().decode()}"))
            return container

        yield start


@pytest.fixture
def group(run: Run) -> Callable[..., Container]:
    """Starts components of the rollout, with a Redis of their own."""
    conf = (ROOT / "docker" / "redis.conf").read_text()
    run(
        REDIS_IMAGE,
        ["sh", "-c", 'printf "%s" "$CONF" | redis-server - --protected-mode no'],
        "redis",
        environment={"CONF": conf},
    )

    def component(kind: str, peers: str, **options: Any) -> Container:
        environment = {"COMPONENT_TYPE": kind, "MARO_GROUP": "image", "MARO_REDIS": "redis:6379", "MARO_PEERS": peers}
        return run(MARO_IMAGE, [f"maro.testbed.workloads.rollout.{kind}"], environment=environment, **options)

    return component


def program(tmp_path: Path, source: str) -> Path:
    """A program of one's own, which is `/program.py` in the container that gets it."""
    path = tmp_path / "program.py"
    path.write_text(source)
    path.chmod(0o644)
    return path


def ended(container: Container) -> dict[str, Any]:
    """The state of a container that has ended for good."""

    def look() -> dict[str, Any] | None:
        container.reload()
        state = container.attrs["State"]
        return state if state["Status"] == "exited" else None

    return eventually(look, WITHIN_S, lambda: f"the end of it; it wrote {container.logs()!r}") or {}


def health(container: Container) -> dict[str, Any]:
    """What the engine's health checks have found: `Status`, and the `Log` of the checks themselves."""
    container.reload()
    return {"Status": "", "Log": [], **container.attrs["State"].get("Health", {})}


def is_healthy(container: Container) -> bool:
    return bool(health(container)["Status"] == "healthy")


def test_it_adds_at_most_150_megabytes_to_its_base(engine: docker.DockerClient) -> None:
    """Everything that the workloads need included."""
    base = IMAGES.get("MARO_BASE_IMAGE", "python:3.13-slim")

    added = engine.images.get(MARO_IMAGE).attrs["Size"] - engine.images.get(base).attrs["Size"]

    assert 0 < added <= 150 * MEGABYTE


def test_it_runs_components_by_nobody_special(engine: docker.DockerClient, run: Run, tmp_path: Path) -> None:
    """Exec form, so that signals reach the component; an ordinary user; tools to build with are not in there."""
    source = "import os; print('user', os.getuid())"

    container = run(MARO_IMAGE, ["/program.py"], program=program(tmp_path, source))

    assert ended(container)["ExitCode"] == 0
    assert int(container.logs().decode().split()[-1]) >= 1000
    config = engine.images.get(MARO_IMAGE).attrs["Config"]
    assert config["Entrypoint"] == ["maro", "component"]
    missing = run(MARO_IMAGE, ["pip"])
    assert ended(missing)["ExitCode"] == 2
    assert b"no file and no module called 'pip'" in missing.logs()


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("pass", 0),
        ("raise RuntimeError('lost my way')", 1),
        ("from maro.communication import Proxy; Proxy('g', 'actor', {'learner': 1}, driver_type='pigeon')", 64),
        ("from maro.utils.exception.communication_exception import *; raise PeersRejoinTimeout('no peers')", 65),
    ],
)
def test_its_exit_code_says_what_to_do_next(run: Run, tmp_path: Path, source: str, code: int) -> None:
    """0 nothing, 64 do not restart, 65 end the whole job, else a crash."""
    container = run(MARO_IMAGE, ["/program.py"], program=program(tmp_path, source))

    assert ended(container)["ExitCode"] == code, container.logs()


def test_a_restart_policy_brings_back_what_crashed_but_not_what_is_not_to_be_restarted(
    run: Run, tmp_path: Path
) -> None:
    """A policy can't tell the codes apart, so 64 becomes 0 where a variable says so."""
    # Given a component that must not be restarted, and one that crashes
    forbidden = "from maro.communication import Proxy; Proxy('g', 'actor', {'learner': 1}, driver_type='pigeon')"
    policy = {"restart_policy": {"Name": "on-failure", "MaximumRetryCount": 2}}

    # When a restart policy watches over them
    asked = {"environment": {"MARO_EXIT_ZERO_FOR_DO_NOT_RESTART": "1"}}
    stays = run(MARO_IMAGE, ["/program.py"], program=program(tmp_path, forbidden), **policy, **asked)
    hidden = run(MARO_IMAGE, ["/program.py"], program=program(tmp_path, forbidden), **policy)

    # Then the first ends with 0 and stays down, and without the variable its code is seen, and it came back
    assert ended(stays)["ExitCode"] == 0
    assert stays.attrs["RestartCount"] == 0
    eventually(lambda: hidden.reload() or hidden.attrs["RestartCount"] == 2, WITHIN_S, "two restarts")
    assert ended(hidden)["ExitCode"] == 64


def test_healthy_means_joined(group: Callable[..., Container]) -> None:
    """Not yet while its peers are missing, and from then on; its name is its type and its hostname."""
    # Given an actor without a learner
    actor = group("actor", "learner=1")
    eventually(lambda: health(actor)["Log"], WITHIN_S, "a first health check")
    assert health(actor)["Status"] == "starting"

    # When the learner is there
    learner = group("learner", "actor=1")

    # Then both are healthy, and know each other by name
    eventually(lambda: is_healthy(actor) and is_healthy(learner), WITHIN_S, "both healthy")
    assert f"actor_proxy_{actor.attrs['Config']['Hostname']}" in learner.logs().decode()


def test_docker_stop_ends_it_cleanly_whatever_it_does(group: Callable[..., Container]) -> None:
    """While it waits for its peers, and while it plays."""
    # Given an actor that waits, and one that plays with its learner
    waiting = group("actor", "learner=1,critic=1")
    playing = group("actor", "learner=1")
    learner = group("learner", "actor=1")
    eventually(lambda: is_healthy(playing), WITHIN_S, "the playing actor healthy")

    # When the engine stops them
    for container in (waiting, playing, learner):
        container.stop(timeout=30)

    # Then none had to be killed
    assert [ended(container)["ExitCode"] for container in (waiting, playing, learner)] == [0, 0, 0]


def test_a_component_of_ones_own_takes_three_lines(engine: docker.DockerClient, run: Run, tmp_path: Path) -> None:
    """The Dockerfile that the README shows builds, and runs the program."""
    # Given a program, and a Dockerfile of three lines
    (tmp_path / "mine.py").write_text("import sys; print('mine ran with', *sys.argv[1:])")
    (tmp_path / "Dockerfile").write_text(f'FROM {MARO_IMAGE}\nCOPY mine.py .\nCMD ["mine.py", "an argument"]\n')

    # When it is built and run
    image, _ = engine.images.build(path=str(tmp_path), rm=True, labels=LABELS)
    try:
        container = engine.containers.run(image.id, detach=True, labels=LABELS)
        try:
            assert ended(container)["ExitCode"] == 0
            assert b"mine ran with an argument" in container.logs()
        finally:
            container.remove(force=True)
    finally:
        engine.images.remove(image.id, force=True)
