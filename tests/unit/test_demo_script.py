"""`scripts/demo --docker`, as far as it can be tried without an engine: refusals, signals, and what it hands on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import started
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
NO_ENGINE = "unix:///nobody/listens/here.sock"

# Stands in for the client of an engine that has everything.
CLIENT = """#!/bin/sh
case "$1 $2" in
"version --format" | "compose version") echo 99 ;;
esac
"""

# Stands in for the interpreter in .venv, and so for the demo.
DEMO = """
import os, signal, sys

def interrupted(*_):
    print("interrupted", flush=True)
    sys.exit(130)

signal.signal(signal.SIGTERM, interrupted)
print(" ".join(sys.argv[1:]), os.environ["REDIS_IMAGE"], flush=True)
print("at work", flush=True)
while "wait" in sys.argv:
    signal.pause()
sys.exit(7)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is set up for containers, as far as the script can tell."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copytree(ROOT / "docker", root / "docker")
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "demo.py").write_text(DEMO)
    interpreter = root / ".venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{root}/demo.py" "$@"\n')
    interpreter.chmod(0o755)
    client = tmp_path / "bin" / "docker"
    client.parent.mkdir()
    client.write_text(CLIENT)
    client.chmod(0o755)
    stamp = '. scripts/lib/setup.sh; { setup_key; echo testbed; } >"$STAMP"'
    subprocess.run(["bash", "-c", stamp], cwd=root, check=True)
    return root


@pytest.fixture
def environment(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """One in which all state is beside the checkout, and the stand-in is the engine's client."""
    for variable in ("DOCKER_HOST", "DOCKER_CONTEXT", "REDIS_IMAGE"):
        monkeypatch.delenv(variable, raising=False)
    places = {"XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache", "DOCKER_CONFIG": "docker"}
    private = {name: str(checkout.parent / place) for name, place in places.items()}
    yield {**private, "PATH": f"{checkout.parent}/bin:{os.environ['PATH']}"}


def test_without_an_engine_the_demo_is_not_begun(checkout: Path, environment: dict[str, str]) -> None:
    """The code tells that from a demo that failed."""
    # Given an engine that doesn't answer
    (checkout.parent / "bin" / "docker").write_text("#!/bin/sh\nexit 1\n")
    # When the demo in containers is wanted, Then one line says why not
    with started([checkout / "scripts/demo", "--docker"], checkout, {**environment, "DOCKER_HOST": NO_ENGINE}) as demo:
        assert demo.exit_code() == 3, demo.output()
        assert demo.stderr.startswith(f"no Docker engine answers at {NO_ENGINE}")
        assert demo.stdout == ""


def test_the_demo_gets_its_arguments_and_images_and_gives_its_code(checkout: Path, environment: dict[str, str]) -> None:
    """The script adds nothing of its own to what the demo ends with."""
    # Given an engine, When the demo ends with some code, Then so does the script
    with started([checkout / "scripts/demo", "--actors", "2", "--docker"], checkout, environment) as demo:
        assert demo.exit_code() == 7, demo.output()
        assert "-m maro.testbed.demo --actors 2 --docker redis:8-alpine" in demo.stdout.splitlines()
    # And it is no user of the engine any longer
    assert not list((checkout.parent / "state" / "maro" / "engine" / "users").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_handed_on_and_waited_for(
    checkout: Path, environment: dict[str, str], number: signal.Signals
) -> None:
    """A signal to the script alone, as from a supervisor, ends the demo first."""
    # Given a demo at work
    with started([checkout / "scripts/demo", "--docker", "wait"], checkout, environment) as demo:
        eventually(lambda: "at work" in demo.stdout.splitlines(), 30, demo.output)
        # When the script is interrupted
        demo.signal(number)
        # Then the demo was, and both have ended
        assert demo.exit_code() == 130, demo.output()
        assert "interrupted" in demo.stdout.splitlines()


def test_help_speaks_of_containers_and_starts_none(checkout: Path, environment: dict[str, str]) -> None:
    """Wherever `--help` stands."""
    with started([checkout / "scripts/demo", "--docker", "--help"], checkout, environment) as demo:
        demo.exit_code()
        assert demo.stdout.startswith("usage: scripts/demo [--docker]")
        assert "scripts/engine --help" in demo.stdout
    assert not (checkout.parent / "state").exists()
