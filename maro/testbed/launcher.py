"""Starts the components of a topology as processes on this machine, and ends all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

_STOP_WITHIN_S = 10.0


class LocalComponent:
    """One component: the same name over all its starts.

    Args:
        name: in the group.
        command: of the process.
        environment: what it gets besides this process's own.
        log: file that its output is appended to; standard output is read by `lines` instead where `piped`.
        piped: keep standard output for `lines`.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, piped: bool = False
    ) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self._command = list(command)
        self._environment = {**os.environ, **environment}
        self._piped = piped
        self._process: subprocess.Popen[str] | None = None

    def __repr__(self) -> str:
        return f"LocalComponent({self.name!r}, pid={self._process and self._process.pid}, starts={self.starts})"

    @property
    def is_running(self) -> bool:
        """Whether a process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process that was started last."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started; call start() first")
        return self._process

    def start(self) -> None:
        """Start a process; the one before must have ended."""
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._piped else log,
                stderr=log,
                text=True,
                start_new_session=True,  # a group of its own: Ctrl-C is for the launcher, which ends everybody in order
            )
        self.starts += 1

    def kill(self) -> None:
        """End the process, and whatever it started, at once and without a word."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def ask_to_end(self) -> None:
        """Ask the process to leave the group and end."""
        self._signal(signal.SIGTERM)

    def wait(self, timeout_s: float = _STOP_WITHIN_S) -> int:
        """The exit code; a process that does not end in time is killed."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode

    def close(self) -> None:
        """End what still runs, and release the pipe."""
        if self.is_running:
            self.kill()
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()

    def last_lines(self, count: int = 20) -> str:
        """The end of the log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-count:])

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class LocalGroup:
    """The components of one group on this machine; leaving the `with` ends all of them.

    Args:
        group: the group's name.
        redis_url: where Redis is.
        logs: folder for a log file of each component.
    """

    def __init__(self, group: str, redis_url: str, logs: Path) -> None:
        self.components: dict[str, LocalComponent] = {}
        self._group = group
        self._redis_url = redis_url
        self._logs = logs

    def add(
        self,
        component_type: str,
        number: int,
        module: str,
        arguments: Sequence[str],
        peers: Mapping[str, int],
        piped: bool = False,
    ) -> LocalComponent:
        """Start a component that runs a module, under the name `{type}.{number}`."""
        name = f"{component_type}.{number}"
        environment = {
            "COMPONENT_NAME": name,
            "COMPONENT_TYPE": component_type,
            "MARO_GROUP": self._group,
            "MARO_PEERS": ",".join(f"{kind}={count}" for kind, count in peers.items()),
            "MARO_REDIS": self._redis_url,
            # The matrices are small: more threads a process only get into each other's way.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "maro", "component", module, *arguments]
        component = LocalComponent(name, command, environment, self._logs / f"{name}.log", piped)
        self.components[name] = component
        component.start()
        return component

    def stop(self) -> None:
        """Ask all to end, and kill who does not."""
        running = [component for component in self.components.values() if component.is_running]
        for component in running:
            component.ask_to_end()
        deadline = time.monotonic() + _STOP_WITHIN_S
        for component in running:
            component.wait(max(0.1, deadline - time.monotonic()))

    def __enter__(self) -> LocalGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            for component in self.components.values():
                component.close()
