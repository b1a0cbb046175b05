"""What a training with a parameter server can be told: one frozen object, read by the server and by the workers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Of asynchronous gradient descent on the diabetes data; the defaults were tuned for four workers."""

    seed: int = 0
    """The minibatches are drawn from it."""
    batch: int = 64
    """Rows of one gradient; fewer make it noisier, and the least loss that a constant step can reach greater."""
    step: float = 0.03
    """How far a fresh gradient moves the weights. Twice as long halves the updates; from about 0.1 on it diverges."""
    tolerance: float = 0.01
    """The training is done when its loss is above the optimum by at most this share of it."""
    min_gradients: int = 100
    """And when every worker that is there has delivered so many gradients, so that it takes all of them."""
    max_updates: int = 100_000
    """Updates after which the training counts as failed; it takes about a fifth of them."""

    def validate(self) -> ServerSettings:
        """Return self, or raise `ValueError` with one sentence on the first rule that is broken."""
        rules = (
            (self.seed >= 0, f"seed must not be negative, not {self.seed}"),
            (self.batch > 0, f"batch must be positive, not {self.batch}"),
            (self.step > 0, f"step must be positive, not {self.step}"),
            (self.tolerance > 0, f"tolerance must be positive, not {self.tolerance}"),
            (self.min_gradients >= 0, f"min_gradients must not be negative, not {self.min_gradients}"),
            (self.max_updates > 0, f"max_updates must be positive, not {self.max_updates}"),
        )
        for holds, sentence in rules:
            if not holds:
                raise ValueError(sentence)
        return self
