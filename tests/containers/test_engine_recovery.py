"""An engine that was killed is started again by the script, which then clears away what it left."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.containers.conftest import REDIS_IMAGE, ROOT
from tests.support.container_budget import containers

AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]
UP = ". scripts/lib/setup.sh; . scripts/lib/engine.sh; engine_locked engine_up"


class Engine:
    """A second engine on this machine, with a network of its own, that nobody misses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str) -> str:
        """Run a command of this engine; what it printed."""
        variables = [f"MARO_ENGINE_ROOT={self.folder}", f"DOCKER_HOST=unix://{self.folder}/docker.sock"]
        done = subprocess.run(
            [*AS_ROOT, "env", *variables, *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def up(self) -> None:
        """Have the script see to it that the engine runs."""
        self.run("bash", "-c", UP)

    def kill(self, and_containerd: bool) -> None:
        """Kill it without notice, with or without the process that it has its containers run by."""
        pids = [(self.folder / "state" / "pid").read_text().strip()]
        if and_containerd:
            pids.append((self.folder / "exec" / "containerd" / "containerd.pid").read_text().strip())
        self.run("kill", "-KILL", *pids)

    def names(self) -> list[str]:
        """The containers that it knows, running or not."""
        return sorted(self.run("docker", "ps", "--all", "--format", "{{.Names}}").split())


@pytest.fixture
def second_engine(engine: docker.DockerClient) -> Iterator[Engine]:
    """A second engine, with an image of the first one."""
    if not shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin"):
        pytest.skip("no dockerd to start a second engine with; on Debian and its kin: apt-get install docker.io")
    if AS_ROOT and subprocess.run([*AS_ROOT, "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root may start a second engine; run the tests as root, or let sudo work without a password")
    # The address of a socket has to be short.
    second = Engine(Path(tempfile.mkdtemp(prefix="maro-", dir="/tmp")))
    try:
        with containers(1):
            second.up()
            with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
                for chunk in engine.images.get(REDIS_IMAGE).save(named=REDIS_IMAGE):
                    archive.write(chunk)
                archive.flush()
                second.run("docker", "load", "--input", archive.name)
            yield second
    finally:
        second.run("scripts/engine", "stop")
        subprocess.run([*AS_ROOT, "rm", "-rf", str(second.folder)], check=True)


@pytest.mark.parametrize("and_containerd", [False, True], ids=["engine", "engine-and-containerd"])
def test_a_killed_engine_comes_back_without_its_containers(second_engine: Engine, and_containerd: bool) -> None:
    """`kill -9` of the engine leaves pid files and running containers; the next start works, and clears up."""
    # Given an engine with a run of the testbed, one container of which is paused, and a container of somebody else
    run = ("docker", "run", "--detach", "--init", "--network", "ours")
    labelled = ("--label", "maro.testbed=run")
    second_engine.run("docker", "network", "create", *labelled, "ours")
    second_engine.run("docker", "network", "create", "theirs")
    for name in ("learner", "paused"):
        second_engine.run(*run, *labelled, "--restart", "always", "--name", name, REDIS_IMAGE, "redis-server")
    second_engine.run("docker", "pause", "paused")
    second_engine.run("docker", "create", "--name", "somebody", REDIS_IMAGE, "redis-server")
    # When the engine is killed, and the script asked for one
    second_engine.kill(and_containerd)
    second_engine.up()
    # Then it answers, and only what is somebody else's is still there
    assert second_engine.names() == ["somebody"]
    networks = second_engine.run("docker", "network", "ls", "--format", "{{.Name}}").split()
    assert "theirs" in networks
    assert "ours" not in networks
    # And it works
    second_engine.run(
        "docker", "run", "--rm", "--init", "--network", "theirs", REDIS_IMAGE, "redis-server", "--version"
    )
