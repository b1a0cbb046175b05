"""The demo as its user starts it, but for the set-up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from maro.testbed.redis_server import has_embedded_server
from tests.support.programs import ROOT, started
from tests.support.waiting import eventually

pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install '.[examples]'")
pytest.importorskip("rich", reason="rich is not installed: pip install '.[testbed]'")

pytestmark = [
    pytest.mark.xdist_group("rollout"),
    pytest.mark.timeout(400),
    pytest.mark.skipif(not has_embedded_server(), reason="fakeredis is not installed: pip install '.[embedded]'"),
]

DEMO = [sys.executable, "-m", "maro.testbed.demo"]


def descendants(pid: int) -> list[psutil.Process]:
    """All processes that a process has started, directly or not."""
    return psutil.Process(pid).children(recursive=True)


def test_the_demo_kills_an_actor_and_succeeds(tmp_path: Path) -> None:
    """Given nothing but the packages, the demo trains, shows that the killed actor rejoined, and ends with 0."""
    with started(DEMO, tmp_path) as demo:
        assert demo.exit_code(300) == 0, demo.output()
        assert "with SIGKILL" in demo.stdout
        assert "under its name" in demo.stdout
        assert "goal 475" in demo.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    """Given a demo at work, when it is interrupted, its processes and its temporary folder are gone."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    with started(DEMO, tmp_path, {"TMPDIR": str(folder)}) as demo:
        eventually(lambda: "mean return" in demo.stdout, 60, demo.output)
        children = descendants(demo.process.pid)
        assert len(children) >= 6  # Redis, the learner, four actors

        demo.signal(number)

        assert demo.exit_code(60) == 130, demo.output()
        assert "Interrupted" in demo.stdout
        assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
        assert not list(folder.glob("maro-demo-*"))


def test_help_and_bad_options() -> None:
    """Given --help or an unknown option, the demo says so without starting anything."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    helped = subprocess.run([*DEMO, "--help"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert helped.returncode == 0
    assert "--no-kill" in helped.stdout
    wrong = subprocess.run([*DEMO, "--actors", "0"], env=environment, capture_output=True, timeout=60, check=False)
    assert wrong.returncode == 2


def test_a_redis_of_ones_choice_does_not_go_with_containers() -> None:
    """Given --docker and --redis, which can't both be had, the demo says why, without looking for an engine."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DOCKER_HOST": "unix:///nobody/listens/here.sock"}
    command = [*DEMO, "--docker", "--redis", "embedded"]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert "--redis does not go with --docker" in refused.stderr


def test_without_an_engine_the_demo_in_containers_says_what_to_do(tmp_path: Path) -> None:
    """Given no engine, --docker fails with one sentence and a hint, and leaves no folder without logs."""
    with started([*DEMO, "--docker"], tmp_path, {"DOCKER_HOST": "unix:///nobody/here.sock", "TMPDIR": "."}) as demo:
        assert demo.exit_code(60) == 1, demo.output()
        assert demo.stdout.startswith("The demo failed: ")
        assert "https://docs.docker.com/engine/install/" in demo.stdout
        assert "The logs are in" not in demo.stdout
        assert not list(tmp_path.glob("maro-demo-*"))
