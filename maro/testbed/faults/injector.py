"""Injects faults one by one, heals them, and writes down when: a line of JSON each, at once, which the checker reads.

injector = Injector(runner, file)
with injector.inject(fault_of({"fault": "pause", "target": "actor-1"})):
    ...
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maro.testbed.faults.actions import inject
from maro.testbed.faults.fault import Fault
from maro.testbed.runners.network import Heal
from maro.testbed.runners.runner import Member, Runner, RunnerError

FAULTS = "faults.jsonl"
"""What was done in a run, in its folder."""
HEALING_ATTEMPTS = 3


class Injection:
    """A fault that was injected; leaving the `with` heals it."""

    def __init__(self, fault: Fault, component: str, number: int, heal: Callable[[int], None]) -> None:
        self.fault = fault
        self.component = component
        """The name in the group of whom it was done to; empty where it is about more than one."""
        self.number = number
        self._heal = heal

    def __repr__(self) -> str:
        return f"Injection({str(self.fault)!r})"

    def heal(self) -> None:
        """End the fault; a second call does nothing.

        Raises:
            RunnerError: it could not be healed.
        """
        self._heal(self.number)

    def __enter__(self) -> Injection:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()


class Injector:
    """The faults of one run.

    Args:
        runner: that runs.
        record: the file for what was done; made if it is not there.
        tell: told of each injection and healing, in words.
    """

    def __init__(self, runner: Runner, record: Path, tell: Callable[[str], None] = lambda text: None) -> None:
        self._runner = runner
        self._record = record
        self._tell = tell
        self._numbers = itertools.count()
        self._unhealed: dict[int, tuple[Fault, Heal]] = {}
        record.touch()

    def __repr__(self) -> str:
        return f"Injector({self._runner!r}, {len(self._unhealed)} not healed)"

    def inject(self, fault: Fault) -> Injection:
        """Inject a fault.

        Args:
            fault: its target, if it has one, is a label.

        Raises:
            RunnerError: it could not be done.
        """
        number, at_ns = next(self._numbers), time.time_ns()
        error, component = None, ""
        try:
            component, heal = inject(fault, self._runner)
        except RunnerError as refused:
            error = str(refused)
            raise
        finally:
            whose = {"target": str(fault.target or ""), "component": component}
            self._write(n=number, kind=fault.kind, **whose, at_ns=at_ns, error=error)
            self._tell(f"{f'skipped, {error}: ' if error else ''}{fault}")
        if fault.lasts:
            self._unhealed[number] = fault, heal
        return Injection(fault, component, number, self._heal)

    def inject_for_good(self, fault: Fault) -> None:
        """Inject a fault that is not to be healed in the end."""
        self._unhealed.pop(self.inject(fault).number, None)

    def note(self, kind: str, member: Member) -> None:
        """Write down what is done to a member by somebody else."""
        whose = {"target": member.label, "component": member.component}
        self._write(n=next(self._numbers), kind=kind, **whose, at_ns=time.time_ns())

    def heal_all(self) -> list[str]:
        """Heal what is not healed; what could not be, in words."""
        failures = []
        for number in list(self._unhealed):
            try:
                self._heal(number)
            except RunnerError as error:
                failures.append(str(error))
        return failures

    def _heal(self, number: int) -> None:
        if number not in self._unhealed:
            return
        fault, heal = self._unhealed.pop(number)
        error = None
        for _ in range(HEALING_ATTEMPTS):
            try:
                heal()
                error = None
                break
            except RunnerError as refused:
                error = str(refused)
        self._write(n=number, healed_ns=time.time_ns(), error=error)
        self._tell(f"healed: {fault}{f', failed: {error}' if error else ''}")
        if error is not None:
            raise RunnerError(f"{fault} could not be healed: {error}")

    def _write(self, **fields: Any) -> None:
        with self._record.open("a") as file:
            file.write(json.dumps({key: value for key, value in fields.items() if value is not None}) + "\n")
