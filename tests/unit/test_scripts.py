"""The scripts, as far as they can be tried without installing anything: their help, their refusals, their stamp."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = (
    "scripts/demo",
    "scripts/test",
    "scripts/check",
    "scripts/bench",
    "scripts/engine",
    "scripts/matrix",
    "scripts/recovery",
    "scripts/simulate",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that nothing was ever set up in; only what the scripts themselves need is there."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run(checkout: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a checkout, without a terminal."""
    return subprocess.run(
        command,
        cwd=checkout,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("script", [*SCRIPTS, ".ci/run"])
def test_help_sets_nothing_up(checkout: Path, script: str) -> None:
    """`--help` answers at once in a fresh checkout, from wherever it is called."""
    # Given a fresh checkout, When a script is asked for help from another folder
    done = run(checkout / "scripts" / "lib", str(checkout / script), "--help")
    # Then it tells its use, and has installed nothing
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: scripts/")
    assert not (checkout / ".venv").exists()


def test_an_interpreter_that_is_none_is_refused(checkout: Path) -> None:
    """MARO_PYTHON is taken at its word: no other interpreter is chosen in silence."""
    # Given a checkout, When MARO_PYTHON names something else than a Python
    done = run(checkout, "scripts/test", MARO_PYTHON="/bin/false")
    # Then that is said, and nothing was made
    assert done.returncode == 1
    assert "MARO_PYTHON=/bin/false is no Python 3.10 or later" in done.stderr
    assert not (checkout / ".venv").exists()


def test_an_unknown_option_of_check_is_refused(checkout: Path) -> None:
    """A mistyped `--fix` must not look like a check that passed."""
    # Given a checkout, When an option is mistyped, Then that is said
    done = run(checkout, "scripts/check", "--fixx")
    assert done.returncode == 1
    assert "--fixx" in done.stderr


def in_setup(checkout: Path, commands: str) -> int:
    """Run commands in a shell that has the functions of the set-up; the exit code is that of the last one."""
    return run(checkout, "bash", "-c", f". scripts/lib/setup.sh; {commands}").returncode


@pytest.mark.parametrize(
    ("installed", "wanted", "enough"),
    [
        ("all", "embedded,testbed", True),
        ("embedded,testbed", "testbed", True),
        ("embedded,testbed", "testbed,examples", False),
        ("embedded,testbed", "all", False),
        ("embeddedx", "embedded", False),
        ("", "testbed", False),
    ],
)
def test_extras_that_are_there_are_not_installed_again(
    checkout: Path, installed: str, wanted: str, enough: bool
) -> None:
    """The set-up is skipped only if everything that is wanted is there."""
    # Given what is installed, When something is wanted, Then it is known whether that is enough
    assert (in_setup(checkout, f"covers '{installed}' '{wanted}'") == 0) is enough


def test_the_stamp_is_void_when_the_project_has_changed(checkout: Path) -> None:
    """A change of pyproject.toml, or of the checkout's place, sets up anew; nothing else does."""
    # Given a checkout that is set up, as far as the stamp knows
    stamped = '{ setup_key; echo all; } >"$STAMP"'
    assert in_setup(checkout, f'mkdir -p .venv/bin; ln -s "$(command -v python3)" "$PYTHON"; {stamped}') == 0
    # When nothing, then the list of dependencies, then the place changes, Then only the first is still good
    assert in_setup(checkout, "is_set_up testbed") == 0
    with (checkout / "pyproject.toml").open("a") as file:
        file.write("# another\n")
    assert in_setup(checkout, "is_set_up testbed") == 1
    assert in_setup(checkout, f"{stamped}; is_set_up testbed") == 0
    moved = checkout.rename(checkout.with_name("moved"))
    assert in_setup(moved, "is_set_up testbed") == 1
