"""One process in a session of its own, started again by its restart policy.

A thread waits for the end of the process without collecting it first. So as long as anybody can send it a signal its
number belongs to it, and what it has left in its process group is ended with it, as it would be with a container.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maro.testbed.runners.restart_policy import RestartPolicy, as_docker_has_it, pause_before_restart
from maro.testbed.runners.runner import RunnerError

_KILLED_WITHIN_S = 30.0
_ASK_EVERY_S = 0.02
_LOOK_EVERY_S = 0.002
_PROC = Path("/proc")
CANT_START_CODE = 127
"""The exit code, as a shell's, of a process that could not be started again."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a process is started with."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    """Where it runs."""


class SupervisedProcess:
    """A process over all of its starts.

    Args:
        label: for people.
        launch: what is started.
        policy: when it is started again.
        log: file that everything it prints is appended to.
        began: told the process group of each start.
        ended: told the process group, and the exit code, of each end.
    """

    def __init__(
        self,
        label: str,
        launch: Launch,
        policy: RestartPolicy,
        log: Path,
        began: Callable[[int], None],
        ended: Callable[[int, int], None],
    ) -> None:
        self.label = label
        self.launch = launch
        self.log = log
        self.starts = 0
        self.started_at_s = 0.0
        """When it was last started, in seconds of the epoch."""
        self._policy = policy
        self._began = began
        self._ended = ended
        self._changed = threading.Condition(threading.RLock())
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: subprocess.Popen[bytes] | None = None
        self._supervisor: threading.Thread | None = None
        self._exit_code: int | None = None
        self._stopped = False
        """It is to stay down."""
        self._hurried = False
        """Its pause before a restart is to end."""
        self._restarts = 0
        self._pause_s = 0.0

    def __repr__(self) -> str:
        return f"SupervisedProcess({self.label!r}, pid={self.pid}, starts={self.starts}, exit code={self._exit_code})"

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        process = self._process
        return process.pid if process is not None else None

    @property
    def is_running(self) -> bool:
        """Whether it runs now, be it frozen."""
        return self._process is not None

    @property
    def exit_code(self) -> int | None:
        """Of its last end, once nothing is going to start it again."""
        return self._exit_code

    @property
    def was_stopped(self) -> bool:
        """Whether it was asked to end since its last start."""
        return self._stopped

    def start(self) -> None:
        """Start it, if it does not run; a pause before a restart is cut short.

        Raises:
            RunnerError: it can't be started.
        """
        with self._changed:
            if self._process is not None:
                return
            if self._supervisor is not None:
                self._hurried = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._process is not None or self._supervisor is None, _KILLED_WITHIN_S)
                return
            self._stopped = self._hurried = False
            self._restarts, self._pause_s = 0, 0.0
            try:
                self._spawn()
            except OSError as error:
                raise RunnerError(f"{self.label} can't be started: {error}") from error
            self._supervisor = threading.Thread(target=self._supervise, name=f"supervisor of {self.label}", daemon=True)
            self._supervisor.start()

    def kill(self) -> None:
        """SIGKILL it with its whole group, and wait until it is dead; its policy may start it again.

        Raises:
            RunnerError: it does not run.
        """
        with self._changed:
            process = self._running()
            self._signal_group(signal.SIGKILL)
            self._await_end_of(process, _KILLED_WITHIN_S)

    def ask_to_end(self) -> None:
        """Send it SIGTERM, once for each start, and let nothing start it again; does not wait.

        Programs take a second SIGTERM for a wish to end at once.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            if self._process is not None and self._asked is not self._process:
                self._asked = self._process
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, signal.SIGTERM)  # as a container's first process hands it on
                self._signal_group(signal.SIGCONT)

    def stop(self, timeout_s: float) -> None:
        """Ask it to end, SIGKILL it if it has not in time, and let nothing start it again."""
        with self._changed:
            self.ask_to_end()
            process = self._process
            if process is not None and not self._await_end_of(process, timeout_s):
                self._signal_group(signal.SIGKILL)
                self._await_end_of(process, _KILLED_WITHIN_S)
            self._changed.wait_for(lambda: self._supervisor is None, _KILLED_WITHIN_S)

    def pause(self) -> None:
        """Freeze it with its whole group, and wait until it stands.

        Raises:
            RunnerError: it does not run.
        """
        with self._changed:
            process = self._running()
            self._signal_group(signal.SIGSTOP)
            if hasattr(os, "waitid"):
                with contextlib.suppress(ChildProcessError):
                    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on, if it is frozen.

        Raises:
            RunnerError: it does not run.
        """
        with self._changed:
            self._running()
            self._signal_group(signal.SIGCONT)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RunnerError(f"{self.label} does not run; start it first")
        return self._process

    def _signal_group(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _await_end_of(self, process: subprocess.Popen[bytes], timeout_s: float) -> bool:
        return self._changed.wait_for(lambda: self._process is not process, timeout_s)

    def _spawn(self) -> None:
        started_at_s = time.time()  # before it can have done anything
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.launch.command,
                cwd=self.launch.folder,
                env=dict(self.launch.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._began(self._process.pid)
        self._exit_code = None
        self.starts += 1
        self.started_at_s = started_at_s
        self._changed.notify_all()

    def _supervise(self) -> None:
        """The thread: from a start that was asked for to the end for good."""
        while True:
            process, began = self._process, time.monotonic()
            assert process is not None
            _await_end(process)
            with self._changed:
                self._signal_group(signal.SIGKILL)  # whatever it has left behind
                code = as_docker_has_it(process.wait())
                _await_end_of_group(process.pid)
                self._process = None
                self._ended(process.pid, code)
                self._changed.notify_all()
                if not self._start_again(code, time.monotonic() - began):
                    return

    def _start_again(self, code: int, ran_s: float) -> bool:
        """Start it again after its pause, or note that it has ended for good."""
        if not self._stopped and self._policy.starts_again(code, self._restarts):
            self._pause_s = pause_before_restart(self._pause_s, ran_s)
            self._changed.wait_for(lambda: self._stopped or self._hurried, self._pause_s)
            self._hurried = False
            if not self._stopped:
                self._restarts += 1
                try:
                    self._spawn()
                    return True
                except OSError as error:
                    code = CANT_START_CODE
                    with self.log.open("a") as log:
                        log.write(f"{self.label} could not be started again: {error}\n")
        self._exit_code = code
        self._supervisor = None
        self._changed.notify_all()
        return False


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has ended, without collecting it where the system can do that."""
    if hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return
    while process.poll() is None:
        time.sleep(_ASK_EVERY_S)


def _await_end_of_group(group: int) -> None:
    """Wait until those that were killed with a process are dead as well, which each of them is a moment later."""
    due = time.monotonic() + _KILLED_WITHIN_S
    while _is_alive(group) and time.monotonic() < due:
        time.sleep(_LOOK_EVERY_S)


def _is_alive(group: int) -> bool:
    """Whether a process group has a process that does not just wait to be collected by whoever has adopted it."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    if not _PROC.joinpath("self").exists():
        return True
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                state, _, of_group = entry.joinpath("stat").read_text().rpartition(")")[2].split()[:3]
                if int(of_group) == group and state not in "ZX":
                    return True
    return False
