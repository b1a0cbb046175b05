"""The simulator catches whoever breaks acknowledged delivery."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.running import run_seed

SEEDS = range(2000)
"""All of which pass when nothing is broken."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_breakage_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """By some seed out of two thousand; how many it took is printed."""
    # Given a library that is broken in one way
    mutant(monkeypatch)
    # When groups go through their seeds' faults, Then the checker has something to say
    for seed in SEEDS:
        brief = run_seed(seed, cache=True)
        if brief.failures:
            print(f"seed {seed}: {brief.text}")
            return
    pytest.fail(f"not one of {len(SEEDS)} seeds caught it")
