"""Linear least squares as a training task: a loss, its gradient on a part of the data, and an optimum that is known.

The optimum is what makes a run verifiable: whatever the components did to each other's gradients on the way, the loss
that they reach can be compared with the least one there is. A minibatch is a matter of its key (a seed, a name, a
number) alone, so that nobody has to hand out data, and a component that was started again needs to remember nothing.
"""

from __future__ import annotations

import itertools
import zlib
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer[Any]]


def random_stream(seed: int, *key: str | int) -> np.random.Generator:
    """Random numbers that depend on the seed and the key alone, in whichever process they are drawn."""
    return np.random.default_rng(
        [seed, *(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key)]
    )


def standardise(columns: FloatArray) -> FloatArray:
    """Give each column of (N, P) mean 0 and standard deviation 1.

    Raises:
        ValueError: a column is constant, or holds something that is not a finite number.
    """
    spread = columns.std(axis=0) if np.isfinite(columns).all() else np.zeros(1)
    if not (spread > 0).all():
        raise ValueError("each column needs at least two different values, all of them finite")
    return (columns - columns.mean(axis=0)) / spread  # type: ignore[no-any-return]


def with_products(columns: FloatArray) -> FloatArray:
    """Add to standardised columns the products of every two, and the squares of those with more than two values.

    The square of a column with two values is the same column again, up to its offset.
    """
    base = standardise(columns)
    pairs = [
        base[:, first] * base[:, second]
        for first, second in itertools.combinations_with_replacement(range(base.shape[1]), 2)
        if first != second or len(np.unique(base[:, first])) > 2
    ]
    return np.column_stack([base, *pairs])


class Regression:
    """One task: N rows of P features, standardised, and N targets, centred, so that no intercept is needed.

    Args:
        features: (N, P), on any scale.
        targets: (N,)
    """

    def __init__(self, features: FloatArray, targets: FloatArray) -> None:
        if features.ndim != 2 or targets.shape != features.shape[:1] or not np.isfinite(targets).all():
            raise ValueError(f"features (N, P) and N finite targets are needed, not {features.shape}, {targets.shape}")
        self.features = standardise(features)
        self.targets = targets - targets.mean()

    def __repr__(self) -> str:
        return f"Regression({self.rows} rows, {self.size} weights)"

    @property
    def rows(self) -> int:
        """N, how many examples there are."""
        return len(self.features)

    @property
    def size(self) -> int:
        """P, how many weights are learnt."""
        return int(self.features.shape[1])

    def loss(self, weights: FloatArray) -> float:
        """The mean squared error over all rows."""
        errors = self.features @ weights - self.targets
        return float(errors @ errors) / self.rows

    def gradient(self, weights: FloatArray, rows: IntArray) -> FloatArray:
        """The gradient (P,) of half the mean squared error over some rows."""
        features = self.features[rows]
        return features.T @ (features @ weights - self.targets[rows]) / len(rows)  # type: ignore[no-any-return]

    @cached_property
    def optimum(self) -> float:
        """The least loss that any weights have, from the closed form."""
        weights, *_ = np.linalg.lstsq(self.features, self.targets, rcond=None)
        return self.loss(weights)

    def ratio(self, weights: FloatArray) -> float:
        """The loss as a multiple of the optimum; 1 is as good as it gets, infinity stands for weights that blew up."""
        loss = self.loss(weights)
        return loss / self.optimum if np.isfinite(loss) else float("inf")


def shard(rows: int, names: list[str], own: str, seed: int) -> IntArray:
    """The part of `rows` numbered rows that falls to one of the components that are present.

    Everybody deals the same shuffled rows to the same names in order, so the shards are disjoint and cover all rows as
    long as they see the same names; who sees others for a moment overlaps with them, or leaves some rows out.

    Args:
        rows: how many there are.
        names: of those present, in any order; `own` may be among them.
        own: whose part is asked for.
        seed: of the shuffling, the same for all.
    """
    everybody = sorted({*names, own})
    return random_stream(seed, "shards").permutation(rows)[everybody.index(own) :: len(everybody)]
