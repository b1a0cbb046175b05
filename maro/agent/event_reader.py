"""A thread that reads the engine's events, and connects again when the stream breaks."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from maro.agent.engine import Engine, EngineEvent, event_of

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
"""Between attempts to reach the engine again."""


class EventReader:
    """A thread that reads the engine's events; when the stream breaks it connects again, with pauses that grow.

    Args:
        engine: whose events.
        take: gets each event.
        connected: called after every connection, when what the engine remembered was taken: time to take stock.
    """

    def __init__(self, engine: Engine, take: Callable[[EngineEvent], None], connected: Callable[[], None]) -> None:
        self._engine = engine
        self._take = take
        self._connected = connected
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._stream: Any = None
        self._thread = threading.Thread(target=self._run, name="maro-agent-events", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it; returns when it has, or does not answer."""
        self._stopped.set()
        with self._lock:
            stream = self._stream
        if stream is not None:
            with contextlib.suppress(Exception):  # it may be closing by itself
                stream.close()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                for event in self._events():
                    failures = 0
                    self._take(event)
                reason = "the engine closed it"
            except Exception as error:  # whatever breaks the stream, there is one thing to do about it
                reason = str(error)
            if self._stopped.is_set():
                return
            pause_s = min(_FIRST_PAUSE_S * 2.0**failures, _LONGEST_PAUSE_S)
            failures = min(failures + 1, 16)
            logger.warning("the engine's event stream broke (%s); connecting again in %g s", reason, pause_s)
            self._stopped.wait(pause_s)

    def _events(self) -> Iterator[EngineEvent]:
        past, until_s = self._engine.past_events()
        # Of what is over, only what was asked for can't be seen by looking at the containers.
        yield from (event for event in past if event.kind == "kill")
        stream = self._engine.stream(until_s)
        with self._lock:
            self._stream = stream
        try:
            self._connected()
            for raw in stream:
                yield event_of(raw)
        finally:
            with self._lock:
                self._stream = None
            with contextlib.suppress(Exception):
                stream.close()
