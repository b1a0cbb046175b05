"""The command `maro agent`, as far as it can be seen without an engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.programs import ROOT


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "maro", "agent", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_help_says_what_it_does() -> None:
    """And which options there are."""
    done = run("--help")
    assert done.returncode == 0
    for word in ("--job", "--redis", "maro.job", "65"):
        assert word in done.stdout


def test_without_an_engine_it_fails_and_says_what_to_do(tmp_path: Path) -> None:
    """Not with a traceback."""
    done = run("--job", "mine", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 1
    assert "no container engine answers" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_job_has_to_be_named_and_redis_well_formed() -> None:
    """By an option, or by the variable that components have as well."""
    assert "--job" in run().stderr
    done = run("--redis", "nowhere:port", JOB_ID="mine")
    assert done.returncode == 2
    assert "--redis" in done.stderr
