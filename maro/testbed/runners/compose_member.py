"""A container of a project as a member of a run."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath

from maro.testbed.compose_project import ComposeError, ComposeProject, ServiceContainer
from maro.testbed.runners.runner import Member, RunnerError

FAIL_POINT_FILE = "/tmp/maro-fail-points"
"""Within each container."""
_KILLED_WITHIN_S = 60.0
_ASK_EVERY_S = 0.05


class ComposeMember(Member):
    """The container of a service and number, whichever container that is: an agent may put another one in its place.

    Args:
        project: that it belongs to.
        container: as it is now.
        component_type: empty where it is no component.
    """

    def __init__(self, project: ComposeProject, container: ServiceContainer, component_type: str) -> None:
        self.label = container.label
        self.service = container.service
        self.number = container.number
        self.component_type = component_type
        self._project = project
        self._container = container
        self._earlier_starts = 0
        self._replaced = False
        self._stopped = False

    def __repr__(self) -> str:
        return f"ComposeMember({self.label!r}, {self._container!r})"

    @property
    def container(self) -> ServiceContainer:
        """The container as it is now.

        Raises:
            RunnerError: it was removed, and none came in its place.
        """
        from docker.errors import NotFound

        try:
            self._container.state()
        except NotFound:
            found = [each for each in self._project.containers(self.service) if each.number == self.number]
            if not found:
                raise RunnerError(f"{self.label} has no container any more; it was removed") from None
            self._earlier_starts += 1  # at least
            self._replaced = True
            self._container = max(found, key=lambda each: str(each.container.attrs["Created"]))
        return self._container

    @property
    def component(self) -> str:
        """Its name in the group; empty where it is no component."""
        return self.container.component if self.component_type else ""

    @property
    def is_running(self) -> bool:
        """Whether it runs now; one that is paused does."""
        state = self.container.state()
        return bool(state["Running"]) and not state["Restarting"]  # the engine lets one run that waits for its restart

    @property
    def exit_code(self) -> int | None:
        """Of its last end, once it has ended for good; None while it runs, or is about to run again."""
        return self.container.exit_code

    @property
    def was_stopped(self) -> bool:
        """Whether it was stopped here since it was last started here."""
        return self._stopped

    @property
    def starts(self) -> int:
        """How often it has been started: by Compose, its restart policy, an agent, or here."""
        container = self.container
        was_started = container.state()["Status"] != "created"
        return self._earlier_starts + container.restarts + int(was_started)

    @property
    def was_replaced(self) -> bool:
        """Whether there was another container before, as an agent with removal leaves it."""
        _ = self.container
        return self._replaced

    @property
    def started_at_s(self) -> float:
        """When it was last started, in seconds of the epoch; 0 where it never was."""
        container = self.container
        return 0.0 if container.state()["Status"] == "created" else container.started_at_s

    def kill(self) -> None:
        """SIGKILL what runs in it, which its restart policy takes for a crash; a paused one goes on for that moment.

        Raises:
            RunnerError: it does not run, or can't be killed.
        """
        container = self.container
        if not self.is_running:
            raise RunnerError(f"{self.label} does not run; start it first")
        before = container.state()["StartedAt"]
        self.resume()
        with self._as_runner_errors("be killed"):
            container.crash()
            self._wait(lambda: self._has_ended_since(before), _KILLED_WITHIN_S, "is dead after SIGKILL")

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask it to end (SIGTERM), SIGKILL it if it has not in time; no restart policy starts it again."""
        self.resume()
        self._stopped = True
        with self._as_runner_errors("be stopped"):
            self.container.container.stop(timeout=round(timeout_s))

    def start(self) -> None:
        """Start it again, if it does not run."""
        container = self.container
        if not self.is_running:
            starts = self.starts
            with self._as_runner_errors("be started"):
                container.container.start()
            self._stopped = False
            self._earlier_starts = starts  # the engine counts restarts from zero again

    def pause(self) -> None:
        """Freeze every process of it.

        Raises:
            RunnerError: it does not run, or the engine could not.
        """
        container = self.container
        if not container.state()["Paused"]:
            with self._as_runner_errors("be paused"):
                container.pause()

    def resume(self) -> None:
        """Let it go on, if it is frozen."""
        container = self.container
        if container.state()["Paused"]:
            with self._as_runner_errors("go on"):
                container.unpause()

    def log(self, last_lines: int | None = None) -> str:
        """What it has printed, over all of its starts."""
        return self.container.log(last_lines)

    def exec(self, command: Sequence[str]) -> str:
        """Run a command in the container, and return what that printed.

        Raises:
            RunnerError: the command failed, with its words, or the container does not run.
        """
        shown = " ".join(command)
        with self._as_runner_errors(f"run `{shown}`"):
            done = self.container.container.exec_run(list(command), demux=True)
        output, errors = ((part or b"").decode(errors="replace") for part in done.output)
        if done.exit_code:
            said = (errors or output).strip()
            raise RunnerError(f"`{shown}` failed in {self.label} with code {done.exit_code}: {said}")
        return output

    def write_file(self, path: str, text: str) -> None:
        """Write a file in the container, in one step, readable for everybody.

        Raises:
            RunnerError: the engine could not.
        """
        content, name = text.encode(), PurePosixPath(path)
        entry = tarfile.TarInfo(name.name)
        entry.size, entry.mode, entry.mtime = len(content), 0o644, int(time.time())
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(entry, io.BytesIO(content))
        with self._as_runner_errors(f"be given {path}"):
            self.container.container.put_archive(str(name.parent), archive.getvalue())

    def _has_ended_since(self, started_at: str) -> bool:
        state = self.container.state()
        return not state["Running"] or state["Restarting"] or state["StartedAt"] != started_at

    def _wait(self, happened: Callable[[], bool], within_s: float, what: str) -> None:
        deadline = time.monotonic() + within_s
        while not happened():
            if time.monotonic() > deadline:
                raise RunnerError(f"it was not seen within {within_s:g} s that {self.label} {what}")
            time.sleep(_ASK_EVERY_S)

    @contextmanager
    def _as_runner_errors(self, what: str) -> Iterator[None]:
        """The engine's refusals as errors of the runner, in a line."""
        from docker.errors import APIError

        try:
            yield
        except (APIError, ComposeError) as error:
            reason = getattr(error, "explanation", None) or str(error)
            raise RunnerError(f"{self.label} could not {what}: {reason}") from error
