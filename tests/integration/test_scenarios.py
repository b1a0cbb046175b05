"""Every scenario that comes with maro passes where no containers are: as local processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from maro.testbed.scenario import read_scenario, shipped_scenarios
from tests.support.programs import started

QUICK = ("undisturbed", "crash-points", "redis-away")
WITHIN_S = 1200.0

pytestmark = [pytest.mark.xdist_group("maro run"), pytest.mark.timeout(WITHIN_S)]


def scenarios() -> list[object]:
    """Those that processes can run; most of them take too long for every day, and endurance is a run of its own."""
    files = {name: file for name, file in shipped_scenarios().items() if not name.startswith("endurance-")}
    names = [name for name, file in files.items() if "compose" not in read_scenario(file).runners]
    return [pytest.param(name, marks=[] if name in QUICK else pytest.mark.full) for name in names]


@pytest.mark.parametrize("name", scenarios())
def test_a_scenario_passes_as_processes(tmp_path: Path, name: str) -> None:
    """Everything in it is done, and no promise is broken."""
    command = [sys.executable, "-m", "maro", "run", name, "--folder", str(tmp_path / "kept")]
    with started(command, tmp_path) as program:
        assert program.exit_code(WITHIN_S) == 0, program.output()
    assert "passed: " in program.stdout
