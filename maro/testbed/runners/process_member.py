"""A local process as a member of a run."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from maro.testbed.compose_service import Service
from maro.testbed.runners.runner import Member, RunnerError
from maro.testbed.runners.supervised import SupervisedProcess

_EXEC_WITHIN_S = 60.0


class ProcessMember(Member):
    """A process of a service, over all of its starts.

    Args:
        service: of the compose file.
        number: within the service, from 1.
        component: its name in the group; empty where it is no component.
        process: that is started.
    """

    def __init__(self, service: Service, number: int, component: str, process: SupervisedProcess) -> None:
        self.label = process.label
        self.service = service.name
        self.number = number
        self.component_type = service.component_type
        self.process = process
        self._component = component

    def __repr__(self) -> str:
        return f"ProcessMember({self.label!r}, {self.process!r})"

    @property
    def component(self) -> str:
        """Its name in the group; empty where it is no component."""
        return self._component

    @property
    def is_running(self) -> bool:
        """Whether it runs now; one that is paused does."""
        return self.process.is_running

    @property
    def exit_code(self) -> int | None:
        """Of its last end, as Docker has it: 137 after SIGKILL."""
        return self.process.exit_code

    @property
    def was_stopped(self) -> bool:
        """Whether it was asked to end since its last start, by `stop` or because the whole job was to end."""
        return self.process.was_stopped

    @property
    def starts(self) -> int:
        """How often it has been started, by whomever."""
        return self.process.starts

    @property
    def started_at_s(self) -> float:
        """When it was last started, in seconds of the epoch; 0 where it never was."""
        return self.process.started_at_s

    def kill(self) -> None:
        """SIGKILL it with all that it has started; its restart policy takes that for a crash."""
        self.process.kill()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask it to end (SIGTERM), SIGKILL it if it has not in time; it stays down."""
        self.process.stop(timeout_s)

    def start(self) -> None:
        """Start it again, if it does not run."""
        self.process.start()

    def pause(self) -> None:
        """SIGSTOP it with all that it has started."""
        self.process.pause()

    def resume(self) -> None:
        """Let it go on, if it is frozen."""
        self.process.resume()

    def log(self, last_lines: int | None = None) -> str:
        """What it has printed, over all of its starts."""
        file = self.process.log
        lines = file.read_text(errors="replace").splitlines(keepends=True) if file.exists() else []
        return "".join(lines if last_lines is None else lines[max(0, len(lines) - last_lines) :])

    def exec(self, command: Sequence[str]) -> str:
        """Run a command in its folder, with its environment, and return what that printed.

        Raises:
            RunnerError: the command failed, is not there, or has not ended after a minute.
        """
        launch, shown = self.process.launch, " ".join(command)
        try:
            done = subprocess.run(
                list(command),
                cwd=launch.folder,
                env=dict(launch.environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_EXEC_WITHIN_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RunnerError(f"`{shown}` failed for {self.label}: {error}") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise RunnerError(f"`{shown}` failed for {self.label} with code {done.returncode}: {said}")
        return done.stdout
