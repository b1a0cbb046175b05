"""Rows about one process: dispatching messages, the time of the import, and the memory of an idle component."""

from __future__ import annotations

import functools
import subprocess
import sys
import time

import psutil

from benchmarks.harness import MEASUREMENT_LIMIT_S, ROOT, Lab, MeasurementError, clean_environment, introduce
from benchmarks.row import Row

_DISPATCHED = 20_000


def _dispatch(events: int, lab: Lab) -> float:
    """Microseconds a message."""
    with lab.crew() as crew:
        return float(crew.start("alone:dispatch", events=events, count=_DISPATCHED).hear())


def _run_python(program: str, lab: Lab) -> float:
    """Seconds from the start of an interpreter to its end."""
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MEASUREMENT_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"{program!r} took more than {MEASUREMENT_LIMIT_S} s in a fresh interpreter") from error
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise MeasurementError(f"{program!r} failed in a fresh interpreter: {done.stderr[-2000:]}")
    return seconds


def _idle_component(lab: Lab) -> float:
    """Resident memory in 10^6 bytes of a component that has joined with one peer."""
    with lab.star("alone:idle_learner", "alone:idle_actor") as (learner, _):
        return _resident_mb(learner.process.pid)


def _idle_process(lab: Lab) -> float:
    """The same of an interpreter that has only what all processes of a measurement have."""
    with lab.crew() as crew:
        worker = crew.start("alone:idle_process")
        introduce(worker, [])
        resident_mb = _resident_mb(worker.process.pid)
        worker.say("end")
        return resident_mb


def _resident_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss / 1e6)


DISPATCH = Row(
    "dispatch",
    "RegisterTable push and get, one event matches",
    "us/message",
    {
        "1 event": functools.partial(_dispatch, 1),
        "1,000 events": functools.partial(_dispatch, 1_000),
    },
    reference="1 event",
)
IMPORT = Row(
    "import",
    "a fresh interpreter's whole life",
    "s",
    {
        "bare interpreter": functools.partial(_run_python, "pass"),
        "import maro.communication": functools.partial(_run_python, "import maro.communication"),
    },
    reference="bare interpreter",
    less_reference={"the import without the interpreter": "import maro.communication"},
    unmeasured_rounds=1,
)
MEMORY = Row(
    "memory",
    "resident memory of an idle process",
    "MB",
    {
        "idle process without the library": _idle_process,
        "idle component": _idle_component,
    },
)
