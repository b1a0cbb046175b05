"""Trajectories for the tests of the workload `rollout`; needs NumPy."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from maro.testbed.workloads.rollout.trajectory import Trajectory


def made_up(version: int = 0, steps: int = 6, terminated: bool = True, **changes: Any) -> Trajectory:
    """A trajectory that nobody played."""
    rng = np.random.default_rng(steps)
    trajectory = Trajectory(
        observations=rng.standard_normal((steps, 4)).astype(np.float32),
        actions=rng.integers(2, size=steps),
        rewards=np.ones(steps, np.float32),
        log_probabilities=np.full(steps, math.log(0.5), np.float32),
        version=version,
        terminated=terminated,
        final_observation=np.zeros(4, np.float32),
    )
    return dataclasses.replace(trajectory, **changes)
