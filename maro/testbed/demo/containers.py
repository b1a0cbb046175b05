"""The demo's learner and actors as containers: the topology `rollout`, run with Compose under a name of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from maro.testbed.compose_project import (
    ComposeError,
    ComposeProject,
    NoEngineError,
    ServiceContainer,
    connect_to_engine,
    remove_projects,
)
from maro.testbed.demo.cluster import WORKLOAD, Cluster, DemoError
from maro.testbed.report_reader import ReportReader
from maro.testbed.workloads.rollout.settings import TrainingSettings
from maro.utils.deployment import packaged_files

_PACKAGE = Path(__file__).resolve().parents[2]
_CHECK_EVERY_S = 2.0
"""A look at the actors asks the engine once for each of them."""
_END_WITHIN_S = 30.0
_FINISH_WITHIN_S = 30.0
"""How long Compose may go on with a start that nobody wants any longer."""
_LAST_LINES = 20


@contextmanager
def as_containers(actors: int, seed: int, logs: Path) -> Iterator[Cluster]:
    """A project of Compose, removed with the `with`.

    Args:
        actors: how many.
        seed: of everything random.
        logs: folder for the containers' logs, and for what Compose says.

    Raises:
        DemoError: there is no engine or no image, or the engine can't do what it is asked; also when that happens to
            the body of the `with`.
    """
    environment = {
        "ACTORS": str(actors),
        "SEED": str(seed),
        # What the host has in variables of these names is meant for something else.
        "TARGET": f"{TrainingSettings().evaluation_target:g}",
        "RESTART": "on-failure:10",
        # A learner that fails is the end of the demo.
        "MAIN_RESTART": "no",
        "MARO_REPORT": "json",
    }
    with _told_plainly():
        project = ComposeProject(_topology(), f"maro-demo-{uuid.uuid4().hex[:10]}", environment, logs)
        try:
            _check_images(project)
            about = f"project {project.name}; containers for Redis, one learner, {actors} actors, seed {seed}"
            yield ContainerCluster(project, about)
        finally:
            _remove(project)


class ContainerCluster(Cluster):
    """Containers.

    Args:
        project: that they are started in.
        description: see `Cluster`.
    """

    restarter = "its restart policy"

    def __init__(self, project: ComposeProject, description: str) -> None:
        self.description = description
        self._project = project
        self._actors: dict[str, ServiceContainer] = {}
        self._start_before_crash: dict[str, float] = {}
        self._check_due = 0.0

    def __repr__(self) -> str:
        return f"ContainerCluster({self._project!r})"

    @property
    def labels(self) -> Mapping[str, str]:
        """The names that the containers' entry points make up, with the service and number that Compose shows."""
        return {name: actor.label for name, actor in self._actors.items()}

    def start(self) -> None:
        """Have Compose start the topology."""
        # Detached, but as a process that a Ctrl-C in the terminal does not reach.
        compose = self._project.up_attached("--detach", "--no-build", "--pull", "never")
        try:
            code = compose.wait()
        except KeyboardInterrupt:
            # What the engine was asked for would come to be after all has been removed.
            try:
                compose.wait(_FINISH_WITHIN_S)
            except subprocess.TimeoutExpired:
                os.killpg(compose.pid, signal.SIGKILL)
            raise
        if code != 0:
            said = (self._project.logs / "compose.log").read_text(errors="replace").splitlines()
            raise DemoError("the containers could not be started:\n" + "\n".join(said[-_LAST_LINES:]))
        self._learner = self._project.container("learner")
        self._actors = {actor.component: actor for actor in self._project.containers("actor")}

    def reports(self) -> ReportReader:
        """The log of the learner's container, followed."""
        return ReportReader(split_lines(self._learner.container.logs(stream=True, follow=True, stderr=False)))

    def crash(self, actor: str) -> None:
        """Kill the component inside the container."""
        self._start_before_crash[actor] = self._actors[actor].started_at_s
        self._actors[actor].crash()

    def restarted_at(self, actor: str) -> float | None:
        """By the clock of the engine, which is that of all its containers."""
        started_at_s = self._actors[actor].started_at_s
        return started_at_s if started_at_s != self._start_before_crash[actor] else None

    def check(self) -> None:
        """A container may end as long as its restart policy starts it again."""
        if time.monotonic() < self._check_due:
            return
        for actor in self._actors.values():
            if (code := actor.exit_code) is not None:
                raise DemoError(f"{actor.label} ended with code {code}:\n{actor.log(_LAST_LINES)}")
        self._check_due = time.monotonic() + _CHECK_EVERY_S

    def learner_end(self) -> int:
        """The exit code of its container."""
        return self._learner.wait(_END_WITHIN_S)

    def learner_log(self) -> str:
        """What its container printed, but for the reports."""
        lines = self._learner.log().splitlines()
        return "\n".join([line for line in lines if not line.startswith("{")][-_LAST_LINES:])


def _topology() -> Path:
    try:
        return packaged_files(_PACKAGE) / "compose" / f"{WORKLOAD}.yaml"
    except FileNotFoundError as error:
        raise DemoError(str(error)) from error


def _check_images(project: ComposeProject) -> None:
    """To pull or build takes minutes, which is the business of whoever sets the engine up."""
    from docker.errors import ImageNotFound

    client = connect_to_engine()
    try:
        for image in sorted(set(project.compose("config", "--images").split())):
            try:
                client.images.get(image)
            except ImageNotFound:
                raise DemoError(
                    f"the engine has no image {image}; in a checkout `scripts/engine start` gets it, or builds it, "
                    'and `eval "$(scripts/engine env)"` names the images that there are'
                ) from None
    finally:
        client.close()


def _remove(project: ComposeProject) -> None:
    """Remove all that the project has started, whatever state it is in, its logs kept."""
    try:
        # Where Compose can't, or was interrupted, what is below can.
        with suppress(*_engine_errors()):
            project.down()
    finally:
        try:
            remove_projects(lambda name: name == project.name)
        except _engine_errors() as error:
            raise DemoError(
                f"its containers could not be removed ({error}); when the engine answers again, "
                f"`docker compose --project-name {project.name} down` removes them"
            ) from error


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Map what the engine and Compose raise."""
    try:
        yield
    except (NoEngineError, ComposeError) as error:
        raise DemoError(str(error)) from error
    except _engine_errors() as error:
        raise DemoError(f"the container engine could not do what it was asked: {error}") from error


def _engine_errors() -> tuple[type[Exception], ...]:
    from docker.errors import DockerException

    # A lost connection is an OSError.
    return (NoEngineError, ComposeError, DockerException, OSError)


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Whole lines, however they are cut into chunks."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")
