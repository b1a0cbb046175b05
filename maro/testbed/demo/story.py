"""What happened in the demo, as far as it is told: facts in, judgement out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from maro.testbed.demo.cluster import DemoError
from maro.testbed.report_reader import Arrival
from maro.testbed.workloads.reporting import Report

HALF_WAY = 250.0
"""The mean return at which an actor is killed."""


@dataclass
class Story:
    """One demo. Times are seconds of this process's monotonic clock, if nothing else is said."""

    victim: str = ""
    """The name of the actor that is to be killed; empty where nobody is."""
    victim_label: str = ""
    """What people call it."""
    started: float = field(default_factory=time.monotonic)
    latest: Report = field(default_factory=dict)
    """What the learner reported last."""
    killed_at: float | None = None
    restarted_at: float | None = None
    """When the victim was started again, on the learner's clock."""
    ready_at: float | None = None
    """When the learner told of the victim's new start."""
    episodes_at_rejoin: int = 0
    """What the learner had got of the victim until then."""

    def take(self, arrival: Arrival) -> None:
        """Take in a report of the learner."""
        self.latest = report = arrival.report
        if report["event"] != "ready" or report["who"] != self.victim or self.ready_at is not None:
            return
        # What the killed one said before its end may be told after it.
        if self.restarted_at is not None and report["at"] >= self.restarted_at:
            self.ready_at = arrival.at
            self.episodes_at_rejoin = self.episodes(self.victim)

    @property
    def restart_is_due(self) -> bool:
        """Whether the victim was killed, and it is not known yet when it was started again."""
        return self.killed_at is not None and self.restarted_at is None

    @property
    def mean_return(self) -> float:
        """Of the latest training episodes."""
        return float(self.latest.get("mean_return", 0.0))

    @property
    def kill_is_due(self) -> bool:
        """Whether it is time to kill the victim."""
        return bool(self.victim) and self.killed_at is None and self.mean_return >= HALF_WAY

    def episodes(self, actor: str) -> int:
        """How many episodes of the actor the learner has got."""
        return int(self.latest.get("episodes_by_actor", {}).get(actor, 0))

    @property
    def rejoin_s(self) -> float | None:
        """From the order to kill until the learner told of the new start."""
        if self.ready_at is None or self.killed_at is None:
            return None
        return self.ready_at - self.killed_at

    @property
    def episodes_since(self) -> int:
        """How many episodes the victim has played after its return."""
        return self.episodes(self.victim) - self.episodes_at_rejoin if self.ready_at is not None else 0

    def check(self) -> None:
        """Judge a demo that has ended.

        Raises:
            DemoError: it did not show what it is to show.
        """
        if self.latest.get("event") != "finished":
            raise DemoError("the learner ended before its training did")
        if not self.victim:
            return
        if self.killed_at is None:
            raise DemoError("training was over before anybody was killed; try another --seed")
        if self.ready_at is None:
            raise DemoError(f"{self.victim_label} was killed, and the learner did not hear of it again")
        if self.episodes_since <= 0:
            raise DemoError(f"{self.victim_label} was killed and came back, but the learner got no more episodes of it")
