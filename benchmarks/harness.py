"""Starts the processes of a measurement, talks to them, and ends them, whatever happens."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any

from maro.testbed.redis_server import RedisServer

ROOT = Path(__file__).parents[1]

MEASUREMENT_LIMIT_S = 120
"""One contender, one repetition; takes seconds on an idle machine."""
_END_LIMIT_S = 15
_SETS_NAMES = ("COMPONENT_NAME", "COMPONENT_TYPE", "CONTAINER_NAME", "JOB_ID")


class MeasurementError(Exception):
    """A measurement did not come about; the text says which process failed, and how."""


class Worker:
    """A process that plays a role, see `benchmarks.worker`.

    Args:
        role: function as `module:name`.
        arguments: of the role.
        deadline: when the measurement has to be over, by the monotonic clock.
    """

    def __init__(self, role: str, arguments: dict[str, Any], deadline: float) -> None:
        self.role = role
        self._deadline = deadline
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._pipe, remote = Pipe()
        limit_s = max(1, int(deadline - time.monotonic()) + _END_LIMIT_S)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", str(remote.fileno()), str(limit_s)],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=[remote.fileno()],
            start_new_session=True,  # Ctrl-C is for the harness, which ends everybody
        )
        remote.close()
        self.say((role, arguments))

    def __repr__(self) -> str:
        return f"Worker({self.role!r}, pid={self.process.pid}, exit code={self.process.poll()})"

    def say(self, value: Any = None) -> None:
        """Tell the role something."""
        try:
            self._pipe.send(value)
        except OSError as error:
            raise MeasurementError(f"{self!r} is gone: {self.output()}") from error

    def hear(self) -> Any:
        """Wait for what the role says next.

        Raises:
            MeasurementError: it failed, or said nothing in time.
        """
        if not self._pipe.poll(max(0.0, self._deadline - time.monotonic())):
            raise MeasurementError(
                f"{self!r} said nothing within {MEASUREMENT_LIMIT_S} s; is the machine overloaded? {self.output()}"
            )
        try:
            kind, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise MeasurementError(f"{self!r} ended without a word: {self.output()}") from error
        if kind == "error":
            raise MeasurementError(f"{self!r} failed:\n{value}")
        return value

    def expect_end(self, deadline: float) -> None:
        """Wait until it has ended by itself; MeasurementError where it does not, or not with code 0."""
        try:
            code = self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise MeasurementError(f"{self!r} did not end within {_END_LIMIT_S} s: {self.output()}") from None
        if code != 0:
            raise MeasurementError(f"{self!r} failed: {self.output()}")

    def output(self) -> str:
        """The end of what it wrote, and of what it failed with."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:].strip() or "it wrote nothing"

    def close(self) -> None:
        """Kill it, if it still runs, and let go of what belongs to it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._pipe.close()
        self._log.close()


class Crew:
    """The processes of one measurement.

    Leaving the `with` waits for their end; leaving it by an exception kills them.

    Args:
        common: arguments of every role.
    """

    def __init__(self, common: dict[str, Any]) -> None:
        self._common = common
        self._workers: list[Worker] = []
        self._deadline = time.monotonic() + MEASUREMENT_LIMIT_S

    def start(self, role: str, **arguments: Any) -> Worker:
        """Start a process with a role of `benchmarks.roles`, given as `module:function`."""
        worker = Worker(f"benchmarks.roles.{role}", {**self._common, **arguments}, self._deadline)
        self._workers.append(worker)
        return worker

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                deadline = time.monotonic() + _END_LIMIT_S
                for worker in self._workers:
                    worker.expect_end(deadline)
        finally:
            for worker in self._workers:
                worker.close()


class Lab:
    """What all measurements of a run share.

    Args:
        redis: for the groups.
    """

    def __init__(self, redis: RedisServer) -> None:
        self.redis = redis
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"Lab({self.redis!r})"

    def crew(self) -> Crew:
        """Processes for one measurement, in a group that nobody was in before."""
        return Crew({"redis": self.redis.url, "group": f"benchmark-{os.getpid()}-{next(self._numbers)}"})

    @contextmanager
    def star(self, root: str, leaf: str, leaves: int = 1, **arguments: Any) -> Iterator[tuple[Worker, list[Worker]]]:
        """One process that is connected to some others, all of them ready; told to end when the `with` is left."""
        with self.crew() as crew:
            centre = crew.start(root, leaves=leaves, **arguments)
            others = [crew.start(leaf, number=number, **arguments) for number in range(leaves)]
            introduce(centre, others)
            yield centre, others
            for worker in (centre, *others):
                worker.say("end")


def introduce(root: Worker, leaves: list[Worker]) -> None:
    """Give processes that told an address those of their peers; wait until all are ready.

    A role says `{"address": ...}` and is told the addresses of its peers, or finds its peers by itself; then it says
    `"ready"`.
    """
    said = {worker: worker.hear() for worker in (root, *leaves)}
    waiting = [worker for worker, word in said.items() if word != "ready"]
    for worker in waiting:
        peers = leaves if worker is root else [root]
        worker.say([said[peer]["address"] for peer in peers])
    await_ready(waiting)


def await_ready(workers: Iterable[Worker]) -> None:
    """Wait until each has said that it is ready; MeasurementError where one says something else."""
    for worker in workers:
        word = worker.hear()
        if word != "ready":
            raise MeasurementError(f"{worker!r} is not ready: it said {word!r}")


def clean_environment() -> dict[str, str]:
    """This process's environment without what would name or place a component."""
    return {
        name: value for name, value in os.environ.items() if name not in _SETS_NAMES and not name.startswith("MARO_")
    }
