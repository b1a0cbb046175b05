"""Reads the reports of a component while it runs: lines of JSON, from a pipe or from the log of a container."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from maro.testbed.workloads.reporting import Report

_MOST_UNREAD = 1000


class ReportsLostError(Exception):
    """What the component prints can't be read any longer; the text says why."""


@dataclass(frozen=True)
class Arrival:
    """A report, and when it came."""

    report: Report
    at: float
    """On this process's monotonic clock: the component may run on a machine with a clock of its own."""


class ReportReader:
    """Reads in the background, so that a report has the time of its coming, however busy its reader is.

    Args:
        lines: what the component prints, as it comes. Lines that don't start like a JSON object are passed over. When
            very many reports are unread, the lines are left where they come from.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._arrivals: queue.Queue[Arrival | Exception | None] = queue.Queue(_MOST_UNREAD)
        threading.Thread(target=self._read, args=(lines,), name="report reader", daemon=True).start()

    def __repr__(self) -> str:
        return f"ReportReader({self._arrivals.qsize()} unread)"

    def next(self, within_s: float) -> Arrival | None:
        """The next report, or None where the component has ended; not to be called again after that.

        Raises:
            TimeoutError: nothing came within that time.
            ReportsLostError: reading has failed, or a report is none.
        """
        try:
            arrival = self._arrivals.get(timeout=within_s)
        except queue.Empty:
            raise TimeoutError(f"no report within {within_s:g} s") from None
        if isinstance(arrival, Exception):
            raise ReportsLostError(f"the reports can't be read any longer: {arrival}") from arrival
        return arrival

    def _read(self, lines: Iterable[str]) -> None:
        try:
            for line in lines:
                if line.startswith("{"):
                    self._arrivals.put(Arrival(json.loads(line), time.monotonic()))
        except Exception as error:  # whatever it is, it is told to whoever waits
            self._arrivals.put(error)
        else:
            self._arrivals.put(None)
