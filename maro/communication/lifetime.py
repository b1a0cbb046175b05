"""How a component ends with its process: which Proxies are open, and what runs when nobody closed them."""

from __future__ import annotations

import atexit
import multiprocessing.util
import os
from collections.abc import Callable
from typing import Any

_open: dict[int, ProcessBound] = {}
_listeners: list[Callable[[int], None]] = []


class LeaveGroup(BaseException):
    """Raised in a component to end it: a `with Proxy(...)` that it leaves by this leaves the group cleanly."""


class ProcessBound:
    """Ties a Proxy to the process that made it, until `release`.

    Args:
        owner: what is tied: a Proxy that has joined.
        at_exit: called where the process ends first, whichever way it ends by itself.
    """

    def __init__(self, owner: Any, at_exit: Callable[[], None]) -> None:
        self.owner = owner
        self._pid = os.getpid()
        self._at_exit = at_exit
        # A process that multiprocessing started ends by its finalizers, any other by atexit.
        atexit.register(at_exit)
        self._finalizer = multiprocessing.util.Finalize(self, at_exit, exitpriority=100)
        _open[id(self)] = self
        _tell_listeners()

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is a forked child, which has its parent's sockets and must leave them alone."""
        return self._pid != os.getpid()

    def release(self) -> None:
        """The owner is closed."""
        _open.pop(id(self), None)
        atexit.unregister(self._at_exit)
        self._finalizer.cancel()
        _tell_listeners()


def open_proxies() -> list[Any]:
    """The Proxies of this process that are not closed."""
    return [bound.owner for bound in list(_open.values()) if not bound.is_elsewhere]


def on_change(listener: Callable[[int], None]) -> Callable[[], None]:
    """Have `listener` called with the number of open Proxies, whenever one has joined and whenever one is closed.

    It is called in the thread that opened or closed the Proxy, maybe in two at once, and maybe more than once with the
    same number: it should bring about what the number asks for, whatever came before. It must not raise. A forked child
    inherits it, and is told of the child's own Proxies.

    Returns:
        A function that ends this.
    """
    _listeners.append(listener)

    def end() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return end


def _tell_listeners() -> None:
    """Tell the number until it is still the one that was told: the last call that a listener gets has the last one.

    No lock: a signal handler may close a Proxy in the very thread that holds it, and a fork may copy it while held.
    """
    for listener in list(_listeners):
        told = None
        while (count := len(open_proxies())) != told:
            listener(count)
            told = count
