"""The thread that keeps a component's directory going: the one small thread that stands beside its caller's."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable


class WatchThread:
    """Calls a step when it is due, when a notice has come, and when poked; starts at once.

    Args:
        name: of the thread.
        step: returns the seconds until it is due again, None to end.
        notice_fd: readable when a notice has come; None where there is nothing to wait on.
        on_broken_fd: called where that descriptor turned out to be closed.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float | None],
        notice_fd: Callable[[], int | None],
        on_broken_fd: Callable[[], None],
    ) -> None:
        self._step = step
        self._notice_fd = notice_fd
        self._on_broken_fd = on_broken_fd
        self._receiver, self._sender = socket.socketpair()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def poke(self) -> None:
        """Have the step called now."""
        with contextlib.suppress(OSError):
            self._sender.send(b"\0")

    def stop(self) -> None:
        """Return when the thread has ended."""
        self._stopping = True
        self.poke()
        self._thread.join()
        self._receiver.close()
        self._sender.close()

    def _run(self) -> None:
        while not self._stopping:
            wait_s = self._step()
            if wait_s is None:
                return
            fd = self._notice_fd()
            watched = [self._receiver.fileno(), *([] if fd is None else [fd])]
            try:
                ready = select.select(watched, [], [], wait_s)[0]
            except (OSError, ValueError):  # the subscription's socket was closed under our hands
                self._on_broken_fd()
                continue
            if self._receiver.fileno() in ready:
                self._receiver.recv(4096)
