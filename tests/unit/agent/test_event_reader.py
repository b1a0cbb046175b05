"""The thread that reads the engine's events, over an engine whose stream breaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from maro.agent.engine import Engine, EngineError, EngineEvent
from maro.agent.event_reader import EventReader
from tests.support.waiting import eventually


def raw(action: str, at_s: int, **attributes: str) -> dict[str, Any]:
    return {"Action": action, "Actor": {"ID": "one", "Attributes": attributes}, "timeNano": at_s * 10**9}


class Stream:
    """A few events, and then the connection breaks."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self._events = events
        self.is_closed = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self._events
        raise ConnectionResetError("by the engine")

    def close(self) -> None:
        self.is_closed = True


class BreakingEngine:
    """Answers, breaks, is away, and answers again."""

    def __init__(self) -> None:
        self.streams = [Stream(raw("die", 12)), Stream(raw("start", 22))]
        self.since: list[float] = []
        self.asked = 0

    def past_events(self) -> tuple[list[EngineEvent], float]:
        self.asked += 1
        if self.asked == 2 or not self.streams[len(self.since) :]:
            raise EngineError("it is away")
        return [EngineEvent("die", "one", 1.0), EngineEvent("kill", "one", 2.0, "15")], 10.0 * self.asked

    def stream(self, since_s: float) -> Stream:
        self.since.append(since_s)
        return self.streams[len(self.since) - 1]


def test_a_broken_stream_is_opened_again_and_stock_is_taken_each_time() -> None:
    """From where the engine's memory ended; of what it remembers only signals count."""
    # Given an engine whose stream breaks, and which is then away for once
    engine = BreakingEngine()
    heard: list[str] = []
    reader = EventReader(
        cast(Engine, engine), lambda event: heard.append(event.kind), lambda: heard.append("take stock")
    )
    # When its events are read
    reader.start()
    eventually(lambda: "start" in heard, 10.0, lambda: f"the second stream; heard {heard}")
    reader.stop()
    # Then nothing was missed in between
    assert heard == ["kill", "take stock", "die", "kill", "take stock", "start"]
    assert engine.since == [10.0, 30.0]
    assert all(stream.is_closed for stream in engine.streams)
