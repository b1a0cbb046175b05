"""The owner's side of a run's watchdog, which ends the run's processes when the owner dies (`leftovers`)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, cast

from maro.testbed.runners import leftovers
from maro.testbed.runners.leftovers import OWNER_VARIABLE, RUN_VARIABLE, owner_mark

_END_WITHIN_S = 15.0


class Watchdog:
    """A process that outlives this one by a moment, in which it ends everything of a run.

    Args:
        run_id: that the run's processes carry.
    """

    def __init__(self, run_id: str) -> None:
        self.marks = {RUN_VARIABLE: run_id, OWNER_VARIABLE: owner_mark()}
        """What each process of the run has to have in its environment."""
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(leftovers.__file__)), run_id, str(os.getpid())],
            env={**os.environ, **self.marks},
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is not for it
        )

    def __repr__(self) -> str:
        return f"Watchdog({self.marks[RUN_VARIABLE]!r}, pid={self._process.pid})"

    def add(self, group: int) -> None:
        """A process group has been started."""
        self._tell(f"+{group}\n")

    def remove(self, group: int) -> None:
        """A process group has ended."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Have it end what is left of the run, and wait for its own end. A second call does nothing."""
        with self._lock, contextlib.suppress(OSError):
            self._pipe.close()
        try:
            self._process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def _pipe(self) -> IO[bytes]:
        return cast(IO[bytes], self._process.stdin)

    def _tell(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError):  # killed by somebody: `remove_leftovers` still finds the run
            if not self._pipe.closed:
                self._pipe.write(line.encode())
                self._pipe.flush()
