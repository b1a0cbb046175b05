"""What the checker comes to: broken promises by kind, recoveries, and how much there was to judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SHOWN = 8
"""Broken promises of one kind that are spelled out; the rest is counted."""

KINDS = {
    "lost": "accepted, and never finished by whom it was for",
    "duplicated": "handed twice to one incarnation, or once more when its sender knew that it is finished",
    "reordered": "handed out after a later one of the same sender",
    "phantom": "handed out, though nobody sent it",
    "unfinished call": "a call that waits for replies neither returned nor raised",
    "split brain": "taken from an older incarnation by a component that knew a younger one",
    "finished unseen": "finished, though it was never handed out",
    "too slow": "a recovery took longer than it may",
}


@dataclass(frozen=True)
class Recovery:
    """How a group got over one end of a component; seconds since then, None where it did not happen."""

    component: str
    detect_s: float | None
    """Until a peer counted it as lost, or saw the next incarnation."""
    rejoin_s: float | None
    """Until a peer was connected to the next incarnation."""
    useful_s: float | None
    """Until a first message from it, or to it, was handed out."""


@dataclass(frozen=True)
class Limits:
    """What recoveries may take, in seconds; None is without limit."""

    detect_p50: float | None = None
    detect_p99: float | None = None
    rejoin_p50: float | None = None
    rejoin_p99: float | None = None
    useful_p50: float | None = None
    useful_p99: float | None = None


@dataclass
class Verdict:
    """The result of checking a run."""

    broken: dict[str, int] = field(default_factory=dict)
    """How many promises of each kind were broken; empty where none was."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    recoveries: list[Recovery] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """Of journals, events, messages accepted, …"""

    @property
    def has_passed(self) -> bool:
        """Whether every promise was kept."""
        return not self.broken

    def add(self, kind: str, text: str | Callable[[], str]) -> None:
        """One more broken promise; a text that costs something to make is made only if it is shown."""
        self.broken[kind] = self.broken.get(kind, 0) + 1
        shown = self.examples.setdefault(kind, [])
        if len(shown) < SHOWN:
            shown.append(text() if callable(text) else text)

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "passed": self.has_passed,
            "broken": self.broken,
            "examples": self.examples,
            "counts": self.counts,
            "recovery_s": self.recovery_table(),
            "recoveries": [vars(recovery) for recovery in self.recoveries],
        }

    def recovery_table(self) -> dict[str, dict[str, float | int | None]]:
        """By phase: how often it was seen, p50, p99 and max in seconds."""
        table: dict[str, dict[str, float | int | None]] = {}
        for phase in ("detect", "rejoin", "useful"):
            times = _times(self.recoveries, phase)
            p50, p99, most = (quantile(times, share) for share in (0.5, 0.99, 1.0))
            table[phase] = {"seen": len(times), "of": len(self.recoveries), "p50": p50, "p99": p99, "max": most}
        return table

    def report(self) -> str:
        """In words, for people."""
        lines = [f"{'passed' if self.has_passed else 'FAILED'}: {_counted(self.counts)}"]
        for kind, count in self.broken.items():
            lines.append(f"  {count} x {kind} ({KINDS[kind]})")
            lines += [f"    {text}" for text in self.examples[kind]]
            lines += ["    …"] * (count > len(self.examples[kind]))
        if self.recoveries:
            lines.append(f"  recovery from {len(self.recoveries)} ends, in seconds")
            for phase, row in self.recovery_table().items():
                shown = ", ".join(f"{name} {row[name]:.3f}" for name in ("p50", "p99", "max") if row[name] is not None)
                lines.append(f"    {phase:<7} {row['seen']} of {row['of']}{': ' + shown if shown else ''}")
        return "\n".join(lines)


def judge_recoveries(verdict: Verdict, limits: Limits) -> None:
    """Hold the recoveries of a verdict against limits; one that never came counts as one without end."""
    for phase in ("detect", "rejoin", "useful"):
        times = _times(verdict.recoveries, phase)
        times += [math.inf] * (len(verdict.recoveries) - len(times))
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            limit = getattr(limits, f"{phase}_{name}")
            found = quantile(times, share)
            if limit is not None and found is not None and found > limit:
                took = "never came" if found == math.inf else f"took {found:.3f} s"
                verdict.add("too slow", f"{name} of {phase} {took}, and may take {limit:g} s")


def quantile(values: Sequence[float], share: float) -> float | None:
    """The least of the values that at least this share of them does not exceed (nearest rank); None of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _times(recoveries: Sequence[Recovery], phase: str) -> list[float]:
    found = (getattr(recovery, f"{phase}_s") for recovery in recoveries)
    return [seconds for seconds in found if seconds is not None]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())
