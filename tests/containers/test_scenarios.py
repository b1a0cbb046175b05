"""The scenarios that only containers can run, and the agent's part in them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from maro.testbed.scenario import read_scenario, shipped_scenarios
from tests.containers.conftest import IMAGES
from tests.support.container_budget import containers
from tests.support.programs import started

QUICK = ("agent-replaces", "agent-restarts", "partitions")
WITHIN_S = 1200.0

pytestmark = pytest.mark.usefixtures("engine")


def scenarios() -> list[object]:
    """Those that processes can't run."""
    names = [name for name, file in shipped_scenarios().items() if read_scenario(file).runners == ("compose",)]
    return [pytest.param(name, marks=[] if name in QUICK else pytest.mark.full) for name in names]


@pytest.mark.parametrize("name", scenarios())
def test_a_scenario_passes_in_containers(tmp_path: Path, name: str) -> None:
    """Everything in it is done, and no promise is broken."""
    actors = int(read_scenario(shipped_scenarios()[name]).variables["ACTORS"])
    command = [sys.executable, "-m", "maro", "run", name, "--runner", "compose", "--folder", str(tmp_path / "kept")]
    with containers(actors + 3), started(command, tmp_path, IMAGES) as program:  # the learner, Redis, and an agent
        assert program.exit_code(WITHIN_S) == 0, program.output()
    assert "passed: " in program.stdout
    if name in QUICK:
        assert "skipped" not in program.stdout
