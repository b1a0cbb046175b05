"""The scenarios that only containers can run, and the agent's part in them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from maro.testbed.scenario import read_scenario, shipped_scenarios
from tests.containers.conftest import IMAGES
from tests.support.container_budget import containers
from tests.support.programs import started

WITHIN_S = 1200.0

pytestmark = pytest.mark.usefixtures("engine")


SCENARIOS = [
    name
    for name, file in shipped_scenarios().items()
    if read_scenario(file).runners == ("compose",) and not name.startswith("endurance-")  # which is a run of its own
]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_passes_in_containers(tmp_path: Path, name: str) -> None:
    """Everything in it is done, and no promise is broken."""
    actors = int(read_scenario(shipped_scenarios()[name]).variables["ACTORS"])
    command = [sys.executable, "-m", "maro", "run", name, "--runner", "compose", "--folder", str(tmp_path / "kept")]
    with containers(actors + 3), started(command, tmp_path, IMAGES) as program:  # the learner, Redis, and an agent
        assert program.exit_code(WITHIN_S) == 0, program.output()
    assert "passed: " in program.stdout
    assert "skipped" not in program.stdout
