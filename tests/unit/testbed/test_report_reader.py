"""Reading a component's reports in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from maro.testbed.report_reader import ReportReader, ReportsLostError


def test_reports_come_in_order_and_end() -> None:
    """What is no report, such as a warning of a library, is passed over."""
    # Given what a component prints
    reader = ReportReader(['{"event": "ready"}\n', "a warning\n", "\n", '{"event": "finished"}'])
    # When it is read, Then the reports come in order, none before the one before it, and then the end
    first, second = reader.next(10), reader.next(10)
    assert first and second
    assert (first.report, second.report) == ({"event": "ready"}, {"event": "finished"})
    assert first.at <= second.at
    assert reader.next(10) is None


def test_silence_is_told_and_can_be_waited_out() -> None:
    """A component that says nothing for too long is an error to whoever asks, and may still go on."""
    # Given a component that is silent until it is let
    may_speak = threading.Event()

    def lines() -> Iterator[str]:
        may_speak.wait(60)
        yield '{"event": "ready"}'

    reader = ReportReader(lines())
    # When nobody lets it, Then that is told
    with pytest.raises(TimeoutError, match=r"no report within 0\.01 s"):
        reader.next(0.01)
    # And when it speaks after all, Then it is heard
    may_speak.set()
    arrival = reader.next(10)
    assert arrival and arrival.report == {"event": "ready"}


def broken_off() -> Iterator[str]:
    """A connection that is lost."""
    yield '{"event": "ready"}'
    raise ConnectionError("the engine is gone")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [(broken_off(), "the engine is gone"), (['{"event": "ready"}', '{"event": "rea'], "Unterminated string")],
    ids=["connection lost", "half a report"],
)
def test_a_failure_of_reading_is_told_to_whoever_waits(lines: Iterator[str], reason: str) -> None:
    """Nobody waits for reports that can't come."""
    # Given a source that fails after a report
    reader = ReportReader(lines)
    # When it is read, Then the report comes first, and then the failure
    assert reader.next(10) is not None
    with pytest.raises(ReportsLostError, match=reason):
        reader.next(10)
