"""From what was seen of kills to the table of recoveries: durations, their quantiles, and the verdict. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

KNOWN_WITHIN_S = 0.2
"""Of the median, with an agent: kill to peers knowing."""
REJOIN_COSTS_S = 0.3
"""Of the median, with an agent: what a rejoin may take beyond the start of a container."""
Report = Mapping[str, Any]
"""That a watcher or a sender made."""


@dataclass(frozen=True)
class Recovery:
    """One kill; everything in seconds since then."""

    known: float
    """Until the watcher had no such peer any more."""
    started: float
    """Until the engine had started the container again."""
    began: float
    """Until the program in it ran its first line."""
    rejoined: float
    """Until the watcher had the peer again."""
    first: float
    """Until the first new message was there."""


PHASES = {
    "known": "kill to peers knowing",
    "started": "kill to the container's start",
    "began": "kill to the program's first line",
    "rejoined": "kill to rejoined",
    "first": "kill to the first new message",
}


def recovery_of(killed_s: float, started_s: float, reports: Sequence[Report]) -> Recovery | None:
    """What became of one kill; None as long as it is not over.

    Args:
        killed_s: when the engine was asked to kill, in seconds of the epoch; so is everything else.
        started_s: when it started the container after that.
        reports: of the watcher, in order; those from before the kill may be among them.
    """
    later = [report for report in reports if report["at"] > killed_s]
    absent = next((report["at"] for report in later if report["event"] == "absent"), None)
    if absent is None:
        return None
    present = next((one["at"] for one in later if one["event"] == "present" and one["at"] > absent), None)
    first = next((one for one in later if one["event"] == "first" and one["began"] > killed_s), None)
    if present is None or first is None:
        return None
    times = absent, started_s, first["began"], present, first["at"]
    known, started, began, rejoined, came = (round(at_s - killed_s, 6) for at_s in times)
    return Recovery(known, started, began, rejoined, came)


def quantile(values: Sequence[float], share: float) -> float:
    """The least of the values that at least this share of them does not exceed (nearest rank).

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("there is no quantile of no values: measure at least one kill")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Measured:
    """All kills of a run."""

    with_agent: tuple[Recovery, ...]
    by_lease: tuple[Recovery, ...]
    """Without an agent; the container was then started by the measuring itself."""
    starts: tuple[float, ...]
    """Of those, from asking for the start to the program's first line."""

    def durations(self) -> dict[str, list[float]]:
        """By what they are about, in seconds."""
        agent = {text: [getattr(one, phase) for one in self.with_agent] for phase, text in PHASES.items()}
        lease = {f"{PHASES['known']}, by lease only": [one.known for one in self.by_lease]}
        return {**lease, **agent, "a container's start": list(self.starts)}

    def verdict(self) -> dict[str, bool]:
        """Whether the goals are met, by what they say."""
        known = statistics.median(one.known for one in self.with_agent)
        rejoined = statistics.median(one.rejoined for one in self.with_agent)
        start = statistics.median(self.starts)
        return {
            f"peers know within {KNOWN_WITHIN_S:g} s at the median": known <= KNOWN_WITHIN_S,
            f"a rejoin costs a container's start and {REJOIN_COSTS_S:g} s at most at the median": (
                rejoined <= start + REJOIN_COSTS_S
            ),
        }

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "unit": "s",
            "figures": {
                text: {"kills": len(values), "p50": quantile(values, 0.5), "p99": quantile(values, 0.99)}
                for text, values in self.durations().items()
            },
            "verdict": self.verdict(),
            "with_agent": [asdict(one) for one in self.with_agent],
            "by_lease": [asdict(one) for one in self.by_lease],
            "starts": list(self.starts),
        }

    def table(self) -> str:
        """For people, in milliseconds."""
        lines = [f"{'':<42}{'n':>5}{'p50 ms':>10}{'p99 ms':>10}"]
        for text, values in self.durations().items():
            p50, p99 = 1000 * quantile(values, 0.5), 1000 * quantile(values, 0.99)
            lines.append(f"{text:<42}{len(values):>5}{p50:>10.0f}{p99:>10.0f}")
        lines += [f"{'met    ' if is_met else 'MISSED '} {text}" for text, is_met in self.verdict().items()]
        return "\n".join(lines)
