"""One run of a compose file: started, watched, disturbed and removed; found again by its project's name.

Compose does the work; the `docker` package answers what its command line does not. Nothing is kept in this process
that the engine does not know, so that whoever comes after a crash can clear up with `remove_projects`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

_PROJECT_LABEL = "com.docker.compose.project"
_SERVICE_LABEL = "com.docker.compose.service"
_NUMBER_LABEL = "com.docker.compose.container-number"
_KILL_ALL = ["sh", "-c", "kill -9 -1"]
"""Ends every process of the container but the first, which `init: true` makes somebody else than the component."""
_ASK_EVERY_S = 0.1
_FREEZE_ATTEMPTS = 10


class ComposeError(Exception):
    """Compose or the engine could not do what was asked; the text has their own words."""


class NoEngineError(Exception):
    """There is no container engine, or no Compose, that answers here; the text says how to get one."""


class ComposeProject:
    """One run of a compose file; leaving the `with` removes all that it started.

    Args:
        file: the compose file.
        name: of the project; two runs side by side need two.
        environment: what the file's variables are set to, besides this process's own environment.
        logs: folder for `compose.log` (what Compose itself said) and, in the end, a log file of each container.
        overlays: more files, which change what the first one says.

    Raises:
        NoEngineError: nothing answers.
    """

    def __init__(
        self,
        file: Path,
        name: str,
        environment: Mapping[str, str],
        logs: Path,
        *,
        overlays: Sequence[Path] = (),
    ) -> None:
        self.file = file
        self._overlays = tuple(overlays)
        self.name = name
        self.logs = logs
        self._environment = {**os.environ, **environment}
        self._client = connect_to_engine()
        logs.mkdir(parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return f"ComposeProject({self.name!r}, {self.file.name})"

    # What Compose does.

    def up(self, *arguments: str, give_up: Callable[[], bool] | None = None) -> None:
        """Create and start what is missing, in the background.

        Args:
            arguments: more of `docker compose up`, such as `--scale actor=8`, or the names of services.
            give_up: as that of `compose`.
        """
        self.compose("up", "--detach", "--quiet-pull", *arguments, give_up=give_up)

    def up_attached(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start as a person would who watches; the output of all containers goes to `compose.log`."""
        with (self.logs / "compose.log").open("ab") as log:
            return subprocess.Popen(
                [*self._command, "up", *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def compose(self, *arguments: str, give_up: Callable[[], bool] | None = None) -> str:
        """Run a command of Compose for this project, and return what it printed.

        Ctrl-C in a terminal does not reach the command, which might be removing everything.

        Args:
            arguments: the command.
            give_up: asked several times a second; once it says yes the command is ended, and so has failed.

        Raises:
            ComposeError: it failed.
        """
        with subprocess.Popen(
            [*self._command, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as command:
            try:
                printed, said = _communicate(command, give_up)
            except BaseException:
                _signal_session(command, signal.SIGKILL)
                raise
        with (self.logs / "compose.log").open("a") as log:
            log.write(f"$ docker compose {' '.join(arguments)}\n{printed}{said}")
        if command.returncode:
            raise ComposeError(f"`docker compose {' '.join(arguments)}` of {self.name} failed:\n{said.strip()}")
        return printed

    def down(self) -> None:
        """Stop and remove everything, the logs of each container kept as a file."""
        self.keep_logs()
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    # What the engine knows.

    def containers(self, service: str | None = None) -> list[ServiceContainer]:
        """The containers of a service, or all, those that have ended included, by service and number."""
        labels = [f"{_PROJECT_LABEL}={self.name}"]
        if service is not None:
            labels.append(f"{_SERVICE_LABEL}={service}")
        found = self._client.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
        return sorted(map(ServiceContainer, found), key=lambda container: (container.service, container.number))

    def container(self, service: str) -> ServiceContainer:
        """The only container of a service.

        Raises:
            ComposeError: there is none, or more than one.
        """
        found = self.containers(service)
        if len(found) != 1:
            raise ComposeError(f"the service {service!r} of {self.name} has {len(found)} containers, not one")
        return found[0]

    @property
    def client(self) -> docker.DockerClient:
        """Of the engine; the project closes it."""
        return self._client

    @property
    def network(self) -> str:
        """The name of the network that its containers share."""
        return f"{self.name}_default"

    def keep_logs(self) -> list[Path]:
        """Write what each container printed to a file of its own; the files."""
        files = []
        for container in self.containers():
            file = self.logs / f"{container.label}.log"
            file.write_text(container.log())
            files.append(file)
        return files

    def __enter__(self) -> ComposeProject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.down()
        finally:
            self.disconnect()

    def disconnect(self) -> None:
        """Let go of the engine, and leave everything as it is."""
        self._client.close()

    @property
    def _command(self) -> list[str]:
        files = [argument for file in (self.file, *self._overlays) for argument in ("--file", str(file))]
        return ["docker", "compose", "--ansi", "never", "--project-name", self.name, *files]


class ServiceContainer:
    """One container of a project."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.service: str = container.labels[_SERVICE_LABEL]
        self.number = int(container.labels[_NUMBER_LABEL])

    def __repr__(self) -> str:
        return f"ServiceContainer({self.label!r}, {self.container.short_id})"

    @property
    def label(self) -> str:
        """Service and number, as Compose shows them: `actor-2`."""
        return f"{self.service}-{self.number}"

    @property
    def component(self) -> str:
        """The name of its component in the group, as the entry point makes it up."""
        environment = dict(item.partition("=")[::2] for item in self.container.attrs["Config"]["Env"])
        return (
            environment.get("COMPONENT_NAME")
            or f"{environment.get('COMPONENT_TYPE', self.service)}_proxy_{self.hostname}"
        )

    @property
    def hostname(self) -> str:
        """Of the container, in its network."""
        return str(self.container.attrs["Config"]["Hostname"])

    def state(self) -> dict[str, Any]:
        """As the engine has it now: `Status`, `ExitCode`, `Pid`, `Health`, …, and `RestartCount`."""
        self.container.reload()
        return {**self.container.attrs["State"], "RestartCount": self.container.attrs["RestartCount"]}

    @property
    def is_running(self) -> bool:
        """Whether it runs now; one that is paused does."""
        return bool(self.state()["Running"])

    @property
    def restarts(self) -> int:
        """How often its restart policy has started it again."""
        return int(self.state()["RestartCount"])

    @property
    def restart_policy(self) -> str:
        """As Compose writes it: `no`, `on-failure:10`."""
        policy = self.container.attrs["HostConfig"]["RestartPolicy"]
        count = policy.get("MaximumRetryCount")
        return f"{policy['Name']}:{count}" if count else policy["Name"] or "no"

    @property
    def started_at_s(self) -> float:
        """When it was last started, in seconds of the epoch."""
        whole, _, fraction = str(self.state()["StartedAt"]).rstrip("Z").partition(".")  # with nanoseconds
        return datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp() + float(f"0.{fraction or 0}")

    @property
    def health(self) -> str:
        """`starting`, `healthy` or `unhealthy`; empty where it has no health check."""
        return str(self.state().get("Health", {}).get("Status", ""))

    @property
    def exit_code(self) -> int | None:
        """Its exit code, once it has ended for good; None while it runs, or is about to run again."""
        state = self.state()
        return None if state["Running"] or state["Restarting"] or state["Status"] == "created" else state["ExitCode"]

    def wait(self, within_s: float) -> int:
        """Its exit code, when it has ended for good.

        Raises:
            ComposeError: it has not, in time.
        """
        deadline = time.monotonic() + within_s
        while (code := self.exit_code) is None:
            if time.monotonic() > deadline:
                raise ComposeError(f"{self.label} did not end within {within_s:g} s; its log ends:\n{self.log(20)}")
            time.sleep(_ASK_EVERY_S)
        return code

    def crash(self) -> None:
        """SIGKILL the component inside, so that the restart policy takes the end for a crash.

        A kill by the engine itself would count as asked for. Does not wait until it is dead: an engine that is busy may
        never say that a command has ended whose container ended with it.
        """
        self.container.exec_run(_KILL_ALL, detach=True)

    def pause(self) -> None:
        """Freeze every process of the container.

        Raises:
            ComposeError: the engine could not.
        """
        from docker.errors import APIError

        for attempt in range(1, _FREEZE_ATTEMPTS + 1):
            try:
                self.container.pause()
                return
            except APIError as error:
                # With cgroups of version 1 the engine gives up, and thaws, where processes are too busy to be frozen.
                if "unable to freeze" not in str(error) or attempt == _FREEZE_ATTEMPTS:
                    raise ComposeError(f"{self.label} could not be paused: {error}") from error

    def unpause(self) -> None:
        """Let it go on."""
        self.container.unpause()

    def log(self, last_lines: int | None = None) -> str:
        """What it has printed, over all of its starts."""
        tail: Any = "all" if last_lines is None else last_lines
        printed: bytes = self.container.logs(tail=tail)
        return printed.decode(errors="replace")

    def reports(self) -> list[dict[str, Any]]:
        """The lines of JSON among what it has printed."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]


def _communicate(command: subprocess.Popen[str], give_up: Callable[[], bool] | None) -> tuple[str, str]:
    """What the command writes to its two outputs; it is ended once `give_up` says so."""
    while give_up is not None:
        try:
            return command.communicate(timeout=_ASK_EVERY_S)
        except subprocess.TimeoutExpired:
            if give_up():
                _signal_session(command, signal.SIGTERM)
                give_up = None
    return command.communicate()


def _signal_session(command: subprocess.Popen[str], number: int) -> None:
    """Send a signal to the command and what it has started: Compose is a program of its own behind `docker`."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(command.pid, number)


def connect_to_engine() -> docker.DockerClient:
    """The engine that the environment names.

    Raises:
        NoEngineError: it does not answer, or there is no Compose.
    """
    import docker  # here: its imports try out sockets
    from docker.errors import DockerException

    hint = "in a checkout `scripts/engine start` sets up what it may; else see https://docs.docker.com/engine/install/"
    if shutil.which("docker") is None:
        raise NoEngineError(f"there is no `docker` command; {hint}")
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        raise NoEngineError(f"no container engine answers ({error}); {hint}") from error
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        client.close()
        raise NoEngineError(f"there is no `docker compose`; {hint}")
    return client


def project_labels() -> list[tuple[str, Mapping[str, str]]]:
    """The labels of every container of every project, whoever started it, each with the name of its project.

    Raises:
        NoEngineError: nothing answers.
    """
    client = connect_to_engine()
    try:
        found = client.containers.list(all=True, filters={"label": _PROJECT_LABEL}, ignore_removed=True)
        return [(container.labels[_PROJECT_LABEL], container.labels) for container in found]
    finally:
        client.close()


def remove_projects(is_meant: Callable[[str], bool]) -> list[str]:
    """Remove what is left of projects, by name, whoever started them; their names.

    Raises:
        NoEngineError: nothing answers.
    """
    client = connect_to_engine()
    removed = set()
    for container in client.containers.list(all=True, filters={"label": _PROJECT_LABEL}, ignore_removed=True):
        project = container.labels[_PROJECT_LABEL]
        if is_meant(project):
            removed.add(project)
            _ignoring_absence(functools.partial(container.remove, force=True, v=True))
    for network in client.networks.list(filters={"label": _PROJECT_LABEL}):
        project = network.attrs["Labels"][_PROJECT_LABEL]
        if is_meant(project):
            removed.add(project)
            _ignoring_absence(network.remove)
    client.close()
    return sorted(removed)


def _ignoring_absence(remove: Callable[[], object]) -> None:
    from docker.errors import APIError, NotFound

    try:
        remove()
    except NotFound:
        return
    except APIError as error:
        if "already in progress" not in str(error):
            raise
