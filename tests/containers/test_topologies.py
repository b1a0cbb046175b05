"""Every topology runs to its verified end, as a person would start it."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

import docker
import pytest

from maro.testbed.compose_project import ComposeProject
from maro.utils.deployment import Deployment, packaged_origins
from tests.containers.conftest import IMAGES, ROOT, TRAINING_WITHIN_S, StartTopology, Topology
from tests.support.container_budget import containers


def end(run: Topology, verdict: str, *arguments: str) -> list[dict[str, Any]]:
    """Start and watch, as `docker compose up --exit-code-from` does, to a good end; the verdict's last reports."""
    process = run.up_attached("--exit-code-from", verdict, *arguments)
    try:
        code = process.wait(TRAINING_WITHIN_S)
    finally:
        process.kill()
    log = (run.logs / "compose.log").read_text()
    assert code == 0, log[-4000:]
    # Whoever was still there has left by itself.
    assert {container.label: container.exit_code for container in run.containers()} == {
        container.label: 0 for container in run.containers()
    }
    return [container.reports()[-1] for container in run.containers(verdict)]


@pytest.mark.parametrize(
    ("name", "verdict", "counts"),
    [
        ("parameter-server", "server", "gradients_by_worker"),
        ("multi-learner", "learner-a", "episodes_by_actor"),
        ("pipeline", "source", "items_by_stage"),
    ],
)
def test_a_topology_ends_by_itself_with_a_verified_result(
    topology: StartTopology, name: str, verdict: str, counts: str
) -> None:
    """Each checks its own result, and each worker had its part in it."""
    run = topology(name, 7)

    (report,) = end(run, verdict)

    assert report["event"] == "finished"
    workers = {
        container.component for kind in ("worker", "actor", "sieve", "factor") for container in run.containers(kind)
    }
    assert len(workers) == 4
    assert set(report[counts]) == workers
    assert min(report[counts].values()) > 0


def test_the_mesh_ends_when_all_nodes_agree(topology: StartTopology) -> None:
    """The first node that ends stands for all."""
    run = topology("mesh", 5)

    reports = end(run, "node")

    assert len(reports) == 4
    assert [report["event"] for report in reports] == ["finished"] * 4
    assert all(len(report["rounds_by_peer"]) == 3 for report in reports)


def test_bare_docker_compose_up_in_a_clone_trains_and_ends_with_the_learners_code(
    engine: docker.DockerClient, tmp_path: Path
) -> None:
    """The file `.env` in the root names the topology."""
    # Given a folder like a clone, and nothing else said
    for name in (".env", "compose", "docker"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    project = f"maro-test-{uuid.uuid4().hex[:10]}"
    environment = {**os.environ, **IMAGES, "COMPOSE_PROJECT_NAME": project}

    def compose(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "compose", "--ansi", "never", *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    # When it is started, Then it trains, says so, and ends with the learner's code
    with containers(6):
        try:
            done = compose("up", "--exit-code-from", "learner")
            print(done.stdout, done.stderr)
            assert done.returncode == 0
            assert "finished" in done.stdout
            assert "learner-1 exited with code 0" in done.stdout + done.stderr
        finally:
            compose("down", "--volumes")


@pytest.mark.parametrize("way", ["variable", "scale"])
def test_eight_actors_each_deliver_episodes(topology: StartTopology, way: str) -> None:
    """Asked for by the variable, or by Compose's own scaling, of which the learner is told nothing."""
    run = topology("rollout", 10, {"ACTORS": "8"} if way == "variable" else {})

    (report,) = end(run, "learner", *(["--scale", "actor=8"] if way == "scale" else []))

    assert report["event"] == "finished"
    actors = run.names("actor")
    assert len(actors) == 8
    assert set(report["episodes_by_actor"]) == actors
    assert min(report["episodes_by_actor"].values()) > 0


def test_a_learner_that_fails_is_not_hidden(topology: StartTopology) -> None:
    """The exit code of a topology whose result is wrong is that of its verdict."""
    run = topology("parameter-server", 6, {"MAIN_RESTART": "no", "MAX_UPDATES": "3"})

    process = run.up_attached("--exit-code-from", "server")

    assert process.wait(TRAINING_WITHIN_S) == 1
    assert run.container("server").exit_code == 1
    assert "allow more updates" in run.container("server").log()


def test_what_was_deployed_runs_without_a_checkout(engine: docker.DockerClient, tmp_path: Path) -> None:
    """The topologies in `~/.maro`, and an image that was built from what is there."""
    # Given a deployment
    deployment = Deployment(packaged_origins(ROOT / "maro"), tmp_path, "0.0.0")
    deployment.run()
    image = f"maro-test:{uuid.uuid4().hex[:10]}"
    environment = {**IMAGES, "MARO_IMAGE": image, "WORKERS": "2"}
    file = tmp_path / "compose" / "parameter-server.yaml"

    # When a topology is built and run from there, Then it comes to its end
    with (
        containers(4),
        ComposeProject(file, f"maro-test-{uuid.uuid4().hex[:10]}", environment, tmp_path / "logs") as project,
    ):
        try:
            project.up("--build")
            assert project.container("server").wait(TRAINING_WITHIN_S) == 0
        finally:
            project.down()
            engine.images.remove(image, force=True)
