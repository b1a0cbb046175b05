"""Plays a schedule on a runner, in real time; whatever happens, everything is healed in the end."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable

from maro.testbed.faults.injector import Injection, Injector
from maro.testbed.runners.runner import RunnerError
from maro.testbed.schedule import Entry, Schedule


class Player:
    """One performance.

    Args:
        injector: of a runner whose components have joined.
        schedule: whose targets are labels.
        stop: ends it early, once it is set.
    """

    def __init__(self, injector: Injector, schedule: Schedule, stop: threading.Event) -> None:
        self._injector = injector
        self._schedule = schedule
        self._stop = stop
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self.skipped: list[str] = []
        """What could not be injected, in words: its target may have ended, say."""
        self.failures: list[str] = []
        """What could not be healed."""
        self.hits: Counter[str] = Counter()
        """How often something was done to each member, by label."""
        self.kills: Counter[str] = Counter()
        """How often that was to kill it."""

    def __repr__(self) -> str:
        return f"Player({len(self._schedule.entries)} entries, {len(self._due)} to come)"

    def play(self) -> None:
        """Inject and heal everything in its time; returns when all is healed, at once after `stop`."""
        began_s = time.monotonic()
        for entry in self._schedule.entries:
            self._at(began_s + entry.at_s, lambda entry=entry: self._inject(entry))  # type: ignore[misc]
        try:
            while self._due and not self._stop.is_set():
                at_s, _, act = self._due[0]
                if self._stop.wait(max(0.0, at_s - time.monotonic())):
                    break
                heapq.heappop(self._due)
                act()
        finally:
            self.failures += self._injector.heal_all()

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at_s, next(self._numbers), act))

    def _inject(self, entry: Entry) -> None:
        try:
            injection = self._injector.inject(entry.fault)
        except RunnerError as refused:
            self.skipped.append(f"{entry.fault}: {refused}")
            return
        label = str(entry.fault.target or "")
        self.hits[label] += 1
        self.kills[label] += entry.fault.kind == "kill"
        if entry.for_s is not None:
            self._at(time.monotonic() + entry.for_s, lambda: self._heal(injection))

    def _heal(self, injection: Injection) -> None:
        try:
            injection.heal()
        except RunnerError as error:
            self.failures.append(str(error))
