"""The demo in containers, as its user starts it, but for the set-up."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from tests.containers.conftest import IMAGES, TRAINING_WITHIN_S, WITHIN_S
from tests.support.container_budget import containers
from tests.support.programs import Program, started
from tests.support.waiting import eventually

pytest.importorskip("rich", reason="rich is not installed: pip install '.[testbed]'")

DEMO = [sys.executable, "-m", "maro.testbed.demo", "--docker"]


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[Program]:
    """A running demo that keeps its temporary files in `folder`."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    with started([*DEMO, *arguments], folder, {**IMAGES, "TMPDIR": str(temporary)}) as program:
        yield program


def project(program: Program) -> str:
    """The name of the demo's project, once it has told it."""

    def told() -> re.Match[str] | None:
        assert program.process.poll() is None, program.output()
        return re.match(r"project (maro-demo-\w+);", program.stdout)

    return eventually(told, WITHIN_S, program.output)[1]


def await_training(program: Program, after: int = 0) -> None:
    """Wait for another line on the training's progress than the first so many."""
    eventually(lambda: program.stdout.count("mean return") > after, WITHIN_S, program.output)


def left_of(engine: docker.DockerClient, name: str) -> list[object]:
    """The containers, networks and volumes of a project."""
    mine = {"label": f"com.docker.compose.project={name}"}
    return [
        *engine.containers.list(all=True, filters=mine),
        *engine.networks.list(filters=mine),
        *engine.volumes.list(filters=mine),
    ]


def temporary_folders(folder: Path) -> list[Path]:
    """The log folders that demos have left."""
    return list((folder / "tmp").glob("maro-demo-*"))


def test_the_demo_kills_an_actor_which_its_restart_policy_brings_back(
    engine: docker.DockerClient, tmp_path: Path
) -> None:
    """Given an engine and images, it trains, shows that the killed actor rejoined under its name, and ends with 0."""
    with containers(6), demo(tmp_path) as program:
        name = project(program)

        assert program.exit_code(TRAINING_WITHIN_S + WITHIN_S) == 0, program.output()

        told = " ".join(program.stdout.replace("│", " ").split())
        assert re.search(r"killed actor-4 with SIGKILL after [\d.]+ s, and started again at once by its restart", told)
        assert re.search(r"rejoined under its name, actor_proxy_[0-9a-f]{12}, [\d.]+ s after the kill; [1-9]", told)
        assert re.search(r"episodes by actor actor-1 \d+, actor-2 \d+, actor-3 \d+, actor-4 \d+ ", told)
        assert "goal 475" in told
        assert left_of(engine, name) == []
        assert temporary_folders(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_training", [False, True], ids=["starting", "training"])
def test_an_interrupted_demo_leaves_nothing_behind(
    engine: docker.DockerClient, tmp_path: Path, number: signal.Signals, is_training: bool
) -> None:
    """Given a demo that starts or is at work, when it is interrupted, its containers, networks and files are gone."""
    with containers(6), demo(tmp_path) as program:
        name = project(program)
        if is_training:
            await_training(program)

        program.signal(number)

        assert program.exit_code(WITHIN_S) == 130, program.output()
        assert "Interrupted; all containers are removed." in program.stdout
        assert left_of(engine, name) == []
        assert temporary_folders(tmp_path) == []


def test_two_demos_side_by_side_leave_each_other_alone(engine: docker.DockerClient, tmp_path: Path) -> None:
    """Given two demos, when one is interrupted, the other goes on."""
    small = ("--actors", "1", "--no-kill")
    with containers(6), demo(tmp_path, *small) as one, demo(tmp_path, *small) as other:
        names = {project(one), project(other)}
        assert len(names) == 2
        await_training(one)
        await_training(other)

        one.signal(signal.SIGINT)

        assert one.exit_code(WITHIN_S) == 130, one.output()
        await_training(other, after=other.stdout.count("mean return"))
        other.signal(signal.SIGINT)
        assert other.exit_code(WITHIN_S) == 130, other.output()
        assert [left_of(engine, name) for name in names] == [[], []]


def test_a_demo_whose_learner_dies_says_so_and_keeps_the_logs(engine: docker.DockerClient, tmp_path: Path) -> None:
    """Given a demo at work, when the learner is killed, the demo fails at once, and its containers are gone."""
    with containers(3), demo(tmp_path, "--actors", "1") as program:
        name = project(program)
        await_training(program)
        learner = engine.containers.get(f"{name}-learner-1")

        learner.kill()

        assert program.exit_code(WITHIN_S) == 1, program.output()
        assert "The demo failed: the learner ended with code 137" in program.stdout
        (logs,) = temporary_folders(tmp_path)
        assert f"The logs are in {logs}" in program.stdout
        assert {"actor-1.log", "compose.log", "learner-1.log", "redis-1.log"} == {file.name for file in logs.iterdir()}
        assert left_of(engine, name) == []


def test_an_image_that_is_missing_is_named(engine: docker.DockerClient, tmp_path: Path) -> None:
    """Given an image that nobody has, the demo says how to get it, and does not try to pull or build it."""
    command = [*DEMO, "--logs", "logs"]
    with started(command, tmp_path, {**IMAGES, "MARO_IMAGE": "maro-nobody-has-it:1"}) as program:
        assert program.exit_code(WITHIN_S) == 1, program.output()
        assert "The demo failed: the engine has no image maro-nobody-has-it:1" in program.stdout
        assert "scripts/engine start" in program.stdout
