"""One thread at a time: sockets and the state around them are not locked, they are guarded."""

from __future__ import annotations

import threading
from typing import NoReturn

from maro.utils.exception.communication_exception import ProxyThreadError


class ThreadGuard:
    """Refuses a second thread (or a signal handler) while a call is under way; hand-overs between calls are fine.

    Used on the message path, so callers use the lock's methods directly::

        if not guard.enter():
            guard.refuse()
        try:
            ...
        finally:
            guard.leave()
    """

    __slots__ = ("_lock", "_what", "leave")

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self.leave = self._lock.release

    def enter(self) -> bool:
        """Whether nobody else was inside; the caller now is."""
        return self._lock.acquire(False)

    def refuse(self) -> NoReturn:
        """Say that somebody else is inside."""
        raise ProxyThreadError(
            f"{self._what} is in use by another call (another thread, or a signal handler that interrupted one); "
            "give each thread a Proxy of its own, or pass this one on only between calls"
        )
