"""Sends what a component left unsent when its last call returned, while the component computes.

That is small messages that wait for company, and acknowledgements. A call that blocks sends them itself before it does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import IntEnum

from maro.communication.guard import ThreadGuard
from maro.utils.exception.communication_exception import DriverSendError

logger = logging.getLogger(__name__)

MESSAGES_AFTER_S = 0.001
"""How long a message waits at most, but for the time until the interpreter lets the flusher run."""
NEWS_AFTER_S = 0.01
"""The same for acknowledgements. Nobody is kept waiting by these but senders whose cache is full, and a look costs the
component's own thread some microseconds."""
_LONGEST_S = 0.05
"""How long the flusher waits at most before it tries again where a peer has no room."""
_QUIET_LOOKS = 3
"""After so many looks at nothing the flusher sleeps until it is woken: waking it costs more than a look."""


class Pace(IntEnum):
    """How often the flusher looks."""

    IDLE = 0
    NEWS = 1
    MESSAGES = 2


class Flusher:
    """A thread that exists once something has waited. It uses the sockets only while no call does.

    Args:
        flush: sends what waits.
        wanted: what waits, as the pace that it asks for; asked without being inside.
        guard: of the Proxy; the flusher is inside while it sends.
        name: of the thread.
    """

    def __init__(self, flush: Callable[[], object], wanted: Callable[[], Pace], guard: ThreadGuard, name: str) -> None:
        self._flush = flush
        self._wanted = wanted
        self._guard = guard
        self._name = name
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self.pace = Pace.IDLE
        """`wake` has to be called when something waits that asks for a faster one."""

    def wake(self, pace: Pace) -> None:
        """Something waits."""
        self.pace = pace
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"maro-flusher-{self._name}", daemon=True)
            self._thread.start()
        self._awake.set()

    def close(self) -> None:
        """End the thread; what still waits is left to the caller, who is inside."""
        self._is_closed = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._awake.set()
            self._thread.join()

    def _run(self) -> None:
        while not self._is_closed:
            self._awake.wait()
            self._work()

    def _work(self) -> None:
        """Until nothing has waited for a while."""
        failures = quiet = 0
        while not self._is_closed:
            self._awake.clear()
            pause_s = MESSAGES_AFTER_S if self.pace is Pace.MESSAGES else NEWS_AFTER_S
            if self._awake.wait(min(pause_s * 2**failures, _LONGEST_S)):
                continue  # the pace is another one now
            wanted = self._wanted()
            if wanted:
                quiet = 0
                failures = failures + 1 if self._try() and self._wanted() else 0
                continue
            quiet += 1
            if quiet >= _QUIET_LOOKS:
                self.pace = Pace.IDLE
                if not self._wanted():  # else it began to before it could know that it has to wake us
                    return
                self.pace = Pace.MESSAGES
            elif self.pace is Pace.MESSAGES:
                self.pace = Pace.NEWS

    def _try(self) -> bool:
        """Send what waits, unless a call is under way, which will; whether we did."""
        if not self._guard.enter_between_calls():
            return False
        try:
            self._flush()
        except DriverSendError:  # the next call of the component meets it as well, and can raise it
            logger.debug("what was left unsent could not be sent", exc_info=True)
        finally:
            self._guard.leave_between_calls()
        return True
