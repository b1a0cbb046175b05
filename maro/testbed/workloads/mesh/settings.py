"""What a training on a mesh can be told: one frozen object, the same for all nodes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """Of decentralised gradient descent on the diabetes data; the defaults were tuned for four nodes."""

    seed: int = 0
    """The shards and the minibatches are drawn from it."""
    batch: int = 256
    """Rows that a round's gradients take together, each node its part of them from its own shard: how noisy the average
    is does not depend on how many nodes there are."""
    step: float = 0.04
    """How far a gradient moves a node's weights. Longer steps need fewer rounds, and leave nodes further apart."""
    tolerance: float = 0.01
    """The loss of the nodes' average may be above the optimum by this share of it."""
    spread: float = 0.05
    """How far a node's weights may be from the average, as a share of the average's length."""
    max_rounds: int = 200_000
    """Rounds after which the training counts as failed; it takes less than a tenth of them."""

    def validate(self) -> MeshSettings:
        """Return self, or raise `ValueError` with one sentence on the first rule that is broken."""
        rules = (
            (self.seed >= 0, f"seed must not be negative, not {self.seed}"),
            (self.batch > 0, f"batch must be positive, not {self.batch}"),
            (self.step > 0, f"step must be positive, not {self.step}"),
            (self.tolerance > 0, f"tolerance must be positive, not {self.tolerance}"),
            (self.spread > 0, f"spread must be positive, not {self.spread}"),
            # Who joins last sees by the second round of the others that they have begun.
            (self.max_rounds > 1, f"max_rounds must be at least 2, not {self.max_rounds}"),
        )
        for holds, sentence in rules:
            if not holds:
                raise ValueError(sentence)
        return self
