"""Starting programs of the project as real processes, and ending them whatever a test does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


def write_program(path: Path, text: str) -> Path:
    """Write a program, dedented, and return its path; the folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return path


@dataclass
class Program:
    """A running program whose output goes to files, so that nothing it writes can block it."""

    process: subprocess.Popen[bytes]
    stdout_path: Path
    stderr_path: Path

    @property
    def stdout(self) -> str:
        """What it has written to stdout so far."""
        return self.stdout_path.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return self.stderr_path.read_text(errors="replace")

    def output(self) -> str:
        """Everything it has written so far, for the message of a failure."""
        return f"exit code {self.process.poll()}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"

    def wait_for_line(self, line: str, timeout_s: float = 30.0) -> None:
        """Wait until `line` stands on stdout as a whole line; fail at once if the program ends without it."""

        def seen_or_ended() -> bool:
            self.process.poll()
            return line in self.stdout.splitlines() or self.process.returncode is not None

        eventually(seen_or_ended, timeout_s, lambda: f"{line!r} on stdout; {self.output()}")
        assert line in self.stdout.splitlines(), f"ended before it wrote {line!r}: {self.output()}"

    def signal(self, signum: signal.Signals) -> None:
        """Send `signum` to the program alone, not to its children."""
        self.process.send_signal(signum)

    def exit_code(self, timeout_s: float = 30.0) -> int:
        """Wait for the end; a negative number is the signal that ended it."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s:g} s: {self.output()}") from None


@contextmanager
def started(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run `command` in `folder` with `environment` added to this process' own; kill its whole group at the end.

    The project's checkout is on PYTHONPATH, so that it need not be installed. The output is kept in `folder`.
    """
    count = len(list(folder.glob("*.stdout.log")))
    stdout_path, stderr_path = folder / f"{count}.stdout.log", folder / f"{count}.stderr.log"
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with stdout_path.open("wb") as stdout, stderr_path.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        yield Program(process, stdout_path, stderr_path)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def component(
    target: str | Path, *args: str, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """Run `maro component TARGET [ARGS]...` in `folder`."""
    with started([sys.executable, "-m", "maro.cli", "component", str(target), *args], folder, environment) as program:
        yield program
