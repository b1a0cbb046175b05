"""One thread at a time: sockets and the state around them are not locked, they are guarded."""

from __future__ import annotations

import threading

from maro.utils.exception.communication_exception import ProxyClosedError, ProxyThreadError


class ThreadGuard:
    """Around every public call of something that one thread at a time may use, until it is closed.

    A second thread (or a signal handler that interrupted a call) is refused; hand-overs between calls are fine.

    Args:
        what: the guarded thing, for the errors.
    """

    __slots__ = ("_acquire", "_release", "_what", "closed")

    def __init__(self, what: str) -> None:
        lock = threading.Lock()
        self._acquire = lock.acquire
        self._release = lock.release
        self._what = what
        self.closed = False

    def __enter__(self) -> None:
        if not self._acquire(False):
            raise ProxyThreadError(
                f"{self._what} is in use by another call (another thread, or a signal handler that interrupted one); "
                "give each thread one of its own, or pass this one on only between calls"
            )
        if self.closed:
            self._release()
            raise ProxyClosedError(f"{self._what} is closed; make a new one")

    def wait(self, timeout_s: float) -> bool:
        """Wait until nobody is inside; whether that came in time."""
        free = self._acquire(True, timeout_s)
        if free:
            self._release()
        return free

    def __exit__(self, *_: object) -> None:
        self._release()
