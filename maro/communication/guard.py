"""One thread at a time: sockets and the state around them are not locked, they are guarded."""

from __future__ import annotations

import threading
from typing import NoReturn

from maro.utils.exception.communication_exception import ProxyClosedError, ProxyThreadError


class ThreadGuard:
    """Around every public call of something that one thread at a time may use, until it is closed.

    A second thread (or a signal handler that interrupted a call) is refused; hand-overs between calls are fine.

    Use it as a context manager; where every message passes, in the longer form that costs a third::

        if guard.closed or not guard.acquire(False):
            guard.refuse()
        try:
            ...
        finally:
            guard.release()

    Args:
        what: the guarded thing, for the errors.
    """

    __slots__ = ("_what", "acquire", "closed", "release")

    def __init__(self, what: str) -> None:
        lock = threading.Lock()
        self.acquire = lock.acquire
        self.release = lock.release
        self._what = what
        self.closed = False

    def __enter__(self) -> None:
        if self.closed or not self.acquire(False):
            self.refuse()

    def refuse(self) -> NoReturn:
        """Raise ProxyClosedError or ProxyThreadError, whichever it is."""
        if self.closed:
            raise ProxyClosedError(f"{self._what} is closed; make a new one")
        raise ProxyThreadError(
            f"{self._what} is in use by another call (another thread, or a signal handler that interrupted one); "
            "give each thread one of its own, or pass this one on only between calls"
        )

    def wait(self, timeout_s: float) -> bool:
        """Wait until nobody is inside; whether that came in time."""
        free = self.acquire(True, timeout_s)
        if free:
            self.release()
        return free

    def __exit__(self, *_: object) -> None:
        self.release()
