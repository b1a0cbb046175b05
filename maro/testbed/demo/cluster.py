"""What the demo is shown with: a learner and its actors, wherever they run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from maro.testbed.report_reader import ReportReader

WORKLOAD = "rollout"
"""The workload, and the topology of the same name."""


class DemoError(Exception):
    """The demo did not show what it is to show; the text says what is missing."""


class Cluster(ABC):
    """A learner and its actors. Whoever made it ends it, and all that it has started."""

    description: str
    """What is about to be started, in words."""
    restarter: str
    """Who starts an actor again that was killed."""

    @property
    @abstractmethod
    def labels(self) -> Mapping[str, str]:
        """The actors' names, each with what people call it; once they are started, in order."""

    @abstractmethod
    def start(self) -> None:
        """Start everybody."""

    @abstractmethod
    def reports(self) -> ReportReader:
        """The learner's reports, from the first one on."""

    @abstractmethod
    def crash(self, actor: str) -> None:
        """SIGKILL the actor of this name; it is started again at once."""

    @abstractmethod
    def restarted_at(self, actor: str) -> float | None:
        """When the actor was started again after its crash, in seconds of the epoch on the learner's clock; None where
        it was not yet."""

    @abstractmethod
    def check(self) -> None:
        """Cheap; called often.

        Raises:
            DemoError: an actor has ended for good.
        """

    @abstractmethod
    def learner_end(self) -> int:
        """The exit code of a learner that has said its last."""

    @abstractmethod
    def learner_log(self) -> str:
        """The end of what the learner has said besides its reports."""
