"""Where the lines of a log go: files that the loggers of a process share, and stdout."""

from __future__ import annotations

import io
import os
import sys
import threading
import warnings
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pathlib import Path


class LogFile:
    """A file that lines are appended to, each with one write, so that lines of several processes do not mix.

    It belongs to all loggers of the process that asked for its path, and is closed by the last of them.
    """

    __slots__ = ("_broken", "_raw", "path", "users")

    def __init__(self, path: Path, *, empty: bool) -> None:
        flags = os.O_TRUNC if empty else 0
        # Unbuffered and in append mode: what was logged is in the file when a crash ends the process.
        self._raw = io.FileIO(str(path), "ab", opener=lambda name, mode: os.open(name, mode | flags, 0o666))
        self.path = path
        self.users = 1
        self._broken = False

    def __repr__(self) -> str:
        return f"LogFile({str(self.path)!r}, users={self.users})"

    def write(self, line: str) -> None:
        """Append a line; a disk that is full costs one warning, and the lines that do not fit on it."""
        try:
            self._raw.write(f"{line}\n".encode("utf-8", "backslashreplace"))
        except OSError as error:
            if not self._broken:
                self._broken = True
                warnings.warn(f"{self.path} can't be written to ({error}); lines are lost", RuntimeWarning, 2)
        except ValueError:
            return  # closed by another thread between its check and this write

    def is_current(self) -> bool:
        """Whether the path still leads to the file that is open, and not to another or to none."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._raw.fileno()))
        except OSError:
            return False

    def close(self) -> None:
        self._raw.close()


class LogFiles:
    """The log files that are open in this process, by path."""

    def __init__(self) -> None:
        self._files: dict[Path, LogFile] = {}
        self._lock = threading.Lock()
        self._survives_fork = False

    def open(self, path: Path, *, empty: bool, keep_bytes: int | None = None) -> LogFile:
        """The file at `path`, shared with whoever in this process has it open.

        Args:
            path: where it is; its folder exists.
            empty: start it anew, unless a logger of this process is writing to it already.
            keep_bytes: a file that is larger than this is first set aside as `path.1`, replacing an older one; `None`
                lets it grow.

        Raises:
            OSError: it can't be opened for writing.
        """
        path = path.resolve()
        if not self._survives_fork:
            # A lock that another thread held at the moment of a fork would stay locked in the child for ever.
            self._survives_fork = True
            os.register_at_fork(after_in_child=self._renew_lock)
        with self._lock:
            file = self._files.get(path)
            if file is not None and file.is_current():
                file.users += 1
                return file
            if keep_bytes is not None and path.is_file() and path.stat().st_size > keep_bytes:
                path.replace(f"{path}.1")
            file = LogFile(path, empty=empty)
            self._files[path] = file
            return file

    def release(self, file: LogFile) -> None:
        """Give up a file that `open` returned; the last one to do so closes it."""
        with self._lock:
            file.users -= 1
            if file.users == 0:
                file.close()
                if self._files.get(file.path) is file:
                    del self._files[file.path]

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()


OPEN_FILES = LogFiles()
"""All log files of this process."""


def write_stdout(line: str) -> None:
    """Print a line to what is stdout at this moment; one that is closed, or that nobody reads, is no reason to fail."""
    stream: TextIO | None = sys.stdout
    if stream is None:
        return
    try:
        try:
            stream.write(f"{line}\n")
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(f"{line}\n".encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError, RuntimeError):
        # In this order: the reader went away; closed; logging from a signal handler that interrupted a write.
        return


def stdout_has_colours() -> bool:
    """Whether stdout is a terminal whose user has not asked for plain text (the NO_COLOR convention)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or sys.stdout is None:
        return False
    try:
        return sys.stdout.isatty()
    except ValueError:
        return False
