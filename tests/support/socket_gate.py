"""A gate before a Unix socket: what passes through it can be cut, and let through again."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType

_AT_ONCE = 65536


class SocketGate:
    """Passes connections on, as long as it is open; leaving the `with` ends all of them.

    Args:
        path: where it listens; nothing may be there.
        behind: the socket that it leads to.
    """

    def __init__(self, path: Path, behind: Path) -> None:
        self._behind = behind
        self._is_open = True
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and let nobody through from now on."""
        with self._lock:
            self._is_open = False
            self._break()

    def open(self) -> None:
        """Let through whoever comes from now on."""
        with self._lock:
            self._is_open = True

    def __enter__(self) -> SocketGate:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                front, _ = self._listener.accept()
            except OSError:  # the gate is gone
                return
            with self._lock:
                if not self._is_open:
                    front.close()
                    continue
                back = socket.socket(socket.AF_UNIX)
                back.connect(str(self._behind))
                self._ends |= {front, back}
            for source, target in ((front, back), (back, front)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while some := source.recv(_AT_ONCE):
                target.sendall(some)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _break(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()
