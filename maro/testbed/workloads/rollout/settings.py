"""What the training can be told: one frozen object, read by the trainer and by the actors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Hyper-parameters of the training on CartPole-v1; the defaults were tuned together, for four actors.

    One *version* is one set of weights: the trainer starts at version 0 and every update makes the next one. The
    defaults mean a trajectory from each actor for each version, and many small updates rather than a few large ones:
    neighbouring versions hardly differ, so that an absent actor, an odd batch, or a trajectory that is a version old
    does no harm.
    """

    seed: int = 0
    """Everything random is drawn from it: initial weights, minibatches, the actors' episodes, the evaluation's."""

    # The network.
    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer of both towers; more units cost every step of every actor, too."""

    # What the actors play.
    max_staleness: int = 1
    """How many versions old a trajectory may be and still be learnt from; older ones fit the ratio badly."""

    # The objective (Schulman et al., 2017, arXiv:1707.06347; advantages: arXiv:1506.02438).
    discount: float = 0.99
    """What a reward is worth one step later; the horizon is about 1 / (1 - discount) = 100 steps."""
    gae_decay: float = 0.95
    """Lambda of the advantages: towards 1 less bias, towards 0 less variance."""
    clip: float = 0.2
    """How far the probability of an action may move from the actor's before it is no longer rewarded."""
    entropy_bonus: float = 0.001
    """Weight of the policy's entropy: keeps it trying; too much keeps it from becoming reliable."""
    value_weight: float = 0.5
    """Weight of the value error beside the policy's loss; it matters through the common gradient bound only."""

    # The optimizer.
    learning_rate: float = 2e-5
    """Adam's step size. Twice as large halves the training time, and the margin: an update may see only 80 steps."""
    epochs: int = 2
    """Passes over the steps of one update; more learn more from a step, and cost the learner time."""
    minibatch: int = 256
    """Steps in one gradient, about: an update's steps are cut into equal parts of nearly this size."""
    max_gradient_norm: float = 0.5
    """Longer gradients are shortened to this length, so that one odd batch can't wreck the policy."""

    # When to stop.
    training_window: int = 400
    """Latest training episodes whose mean return is watched."""
    training_target: float = 490.0
    """Mean return over that window, exploration included, from which an evaluation is worth its time."""
    evaluation_episodes: int = 100
    """Episodes of one evaluation, played greedily."""
    evaluation_target: float = 490.0
    """Mean return at which training is done; above the goal of 475, so that other episodes pass it as well."""
    evaluation_interval: int = 25
    """Updates between two evaluations, at least; one costs as much time as about thirty updates."""
    max_updates: int = 6000
    """Updates after which training counts as failed."""

    def validate(self) -> TrainingSettings:
        """Return self, or raise `ValueError` with one sentence on the first rule that is broken."""
        rules = (
            (self.seed >= 0, f"seed must not be negative, not {self.seed}"),
            (bool(self.hidden) and min(self.hidden) > 0, f"hidden needs one positive size a layer, not {self.hidden}"),
            (self.max_staleness >= 0, f"max_staleness must not be negative, not {self.max_staleness}"),
            (0 < self.discount < 1, f"discount must lie between 0 and 1, not {self.discount}"),
            (0 <= self.gae_decay <= 1, f"gae_decay must lie in 0..1, not {self.gae_decay}"),
            (0 < self.clip < 1, f"clip must lie between 0 and 1, not {self.clip}"),
            (self.entropy_bonus >= 0, f"entropy_bonus must not be negative, not {self.entropy_bonus}"),
            (self.value_weight > 0, f"value_weight must be positive, not {self.value_weight}"),
            (self.learning_rate > 0, f"learning_rate must be positive, not {self.learning_rate}"),
            (self.epochs > 0, f"epochs must be positive, not {self.epochs}"),
            (self.minibatch > 1, f"minibatch must be at least 2, not {self.minibatch}"),
            (self.max_gradient_norm > 0, f"max_gradient_norm must be positive, not {self.max_gradient_norm}"),
            (self.training_window > 0, f"training_window must be positive, not {self.training_window}"),
            (self.evaluation_episodes > 0, f"evaluation_episodes must be positive, not {self.evaluation_episodes}"),
            (self.evaluation_interval > 0, f"evaluation_interval must be positive, not {self.evaluation_interval}"),
            (self.max_updates > 0, f"max_updates must be positive, not {self.max_updates}"),
        )
        for holds, sentence in rules:
            if not holds:
                raise ValueError(sentence)
        return self
