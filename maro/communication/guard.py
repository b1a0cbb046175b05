"""One thread at a time: sockets and the state around them are not locked, they are guarded."""

from __future__ import annotations

import threading

from maro.utils.exception.communication_exception import ProxyClosedError, ProxyThreadError

_PATIENCE_S = 0.01
"""How long to wait for our own thread before looking whether it is still there."""


class ThreadGuard:
    """Around every public call of something that one thread at a time may use, until it is closed.

    A second thread (or a signal handler that interrupted a call) is refused; hand-overs between calls are fine. One
    thread of our own may be inside between calls, for a moment: calls wait for it.

    Use it as a context manager; where every message passes, in the longer form that costs a third::

        if guard.closed or not guard.acquire(False):
            guard.refuse_or_wait()
        try:
            ...
        finally:
            guard.release()

    Args:
        what: the guarded thing, for the errors.
    """

    __slots__ = ("_between_calls", "_what", "acquire", "closed", "release")

    def __init__(self, what: str) -> None:
        lock = threading.Lock()
        self.acquire = lock.acquire
        self.release = lock.release
        self._what = what
        self._between_calls = False
        self.closed = False

    def __enter__(self) -> None:
        if self.closed or not self.acquire(False):
            self.refuse_or_wait()

    def refuse_or_wait(self) -> None:
        """Raise ProxyClosedError or ProxyThreadError, whichever it is; or be inside, after our own thread has left."""
        if self.closed:
            raise ProxyClosedError(f"{self._what} is closed; make a new one")
        # Our own thread says that it wants to be inside before it is, and that it is not after it has left.
        for _ in range(2):  # it may enter again between a look and a try
            while self._between_calls:
                if self.acquire(True, _PATIENCE_S):
                    return
            if self.acquire(False):
                return
        raise ProxyThreadError(
            f"{self._what} is in use by another call (another thread, or a signal handler that interrupted one); "
            "give each thread one of its own, or pass this one on only between calls"
        )

    def enter_between_calls(self) -> bool:
        """For our own thread: be inside, if nobody is and nothing is closed."""
        self._between_calls = True
        if not self.closed and self.acquire(False):
            return True
        self._between_calls = False
        return False

    def leave_between_calls(self) -> None:
        """After `enter_between_calls`."""
        self.release()
        self._between_calls = False

    def wait(self, timeout_s: float) -> bool:
        """Wait until nobody is inside; whether that came in time."""
        free = self.acquire(True, timeout_s)
        if free:
            self.release()
        return free

    def __exit__(self, *_: object) -> None:
        self.release()
