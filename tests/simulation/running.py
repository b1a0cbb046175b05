"""Many seeds, on several cores: chunks of them in processes of their own, and a sum of what they said."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType

from tests.simulation.plan import make_plan
from tests.simulation.world import simulate

CHUNK = 25
"""Seeds that a process takes at a time."""
STUCK_S = 120
"""A run that takes so long on the machine's clock does not come to an end: a loop in which nobody waits."""


@dataclass(frozen=True)
class Brief:
    """What is kept of a run."""

    seed: int
    application: str
    cache: bool
    faults: tuple[str, ...]
    failures: tuple[str, ...]
    """The kinds of what was violated."""
    text: str
    """The whole outcome of a run that failed."""
    facts: Counter[str]
    cpu_s: float


@dataclass
class Summary:
    """Of many runs."""

    runs: int = 0
    cpu_s: float = 0.0
    facts: Counter[str] = field(default_factory=Counter)
    failed: list[Brief] = field(default_factory=list)
    by_application: Counter[str] = field(default_factory=Counter)
    by_fault: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    """By application."""

    def add(self, brief: Brief) -> None:
        """One more."""
        application = f"{brief.application}, cache {'on' if brief.cache else 'off'}"
        self.runs += 1
        self.cpu_s += brief.cpu_s
        self.facts.update(brief.facts)
        self.by_application[application] += 1
        self.messages[application] += brief.facts["messages"]
        self.by_fault.update(brief.faults or ("none",))
        if brief.failures:
            self.failed.append(brief)

    def failures_by_application(self) -> Counter[str]:
        """How many runs of each failed."""
        return Counter(f"{brief.application}, cache {'on' if brief.cache else 'off'}" for brief in self.failed)

    def failures_by_fault(self) -> Counter[str]:
        """In how many runs that failed there was each."""
        return Counter(kind for brief in self.failed for kind in brief.faults or ("none",))


def run_seed(seed: int, *, cache: bool | None = None, application: str | None = None) -> Brief:
    """Run one seed; the options are those of `make_plan`."""
    began = time.process_time()
    outcome = simulate(make_plan(seed, cache=cache, application=application))
    failures = tuple(dict.fromkeys(violation.kind for violation in outcome.violations))
    return Brief(
        seed,
        outcome.plan.application,
        outcome.plan.settings.cache,
        outcome.plan.kinds,
        failures,
        str(outcome) if failures else "",
        outcome.facts,
        time.process_time() - began,
    )


def run_many(
    seeds: range, jobs: int, *, cache: bool | None = None, application: str | None = None
) -> Iterator[list[Brief]]:
    """Run seeds in so many processes; chunks of what came of them, as they are done.

    Closing the iterator, or an exception where it is used, ends the processes.
    """
    chunks = [(seeds[at : at + CHUNK], cache, application) for at in range(0, len(seeds), CHUNK)]
    if jobs == 1:
        for chunk in chunks:
            yield _run_chunk(chunk)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _prepare, (sys.path,)) as pool:  # leaving terminates it
        yield from pool.imap_unordered(_run_chunk, chunks)


class StuckError(Exception):
    """A run does not come to an end."""


def _prepare(path: list[str]) -> None:
    sys.path[:] = path
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    signal.signal(signal.SIGALRM, _give_up)


def _give_up(_: int, frame: FrameType | None) -> None:
    signal.alarm(1)  # until it has ended whatever goes round in circles
    raise StuckError(f"nothing waits any more after {STUCK_S} s")


def _run_chunk(chunk: tuple[range, bool | None, str | None]) -> list[Brief]:
    seeds, cache, application = chunk
    briefs = []
    for seed in seeds:
        watched = signal.getsignal(signal.SIGALRM) is _give_up
        try:
            if watched:
                signal.alarm(STUCK_S)
            briefs.append(run_seed(seed, cache=cache, application=application))
        except Exception as error:  # of the simulator itself, whose seed has to be known
            text = f"{make_plan(seed, cache=cache, application=application)}\n  FAILED {type(error).__name__}: {error}"
            briefs.append(Brief(seed, "?", bool(cache), (), ("simulator",), text, Counter(), 0.0))
        finally:
            if watched:
                signal.alarm(0)
    return briefs
