"""Runs a compose file in containers, by Compose itself, with what a run needs added in a file of its own.

    with ComposeRunner(read_compose_file(file), folder) as runner:
        runner.start()

The file `overlay.yaml` of the run's folder gives every component the journal's folder, a first process that is not the
component (so that it can be killed from inside), and labels with the run's id and its owner. By these labels
`remove_leftovers` finds what was left by a run whose owner was killed; every start looks for that first.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from maro.testbed.compose_file import ComposeFile
from maro.testbed.compose_project import (
    ComposeError,
    ComposeProject,
    NoEngineError,
    connect_to_engine,
    project_labels,
    remove_projects,
)
from maro.testbed.runners.compose_member import FAIL_POINT_FILE, ComposeMember
from maro.testbed.runners.docker_network import DockerNetwork, remove_helpers
from maro.testbed.runners.leftovers import owner_is_dead, owner_mark
from maro.testbed.runners.runner import (
    FAIL_POINT_VARIABLE,
    JOURNAL_VARIABLE,
    JOURNALS,
    Capability,
    Member,
    Runner,
    RunnerError,
    new_run_folder,
)

PROJECT_PREFIX = "maro-run-"
RUN_LABEL = "maro.run"
OWNER_LABEL = "maro.run.owner"
ROLE_LABEL = "maro.role"
_JOURNALS_INSIDE = "/maro-journals"
_FOR_EVERYBODY = 0o777


class ComposeRunner(Runner):
    """Containers of one project, which has the run's id in its name.

    Args:
        file: of the topology.
        folder: for logs and journals; made if it is not there. The engine has to see it under the same path.
        run_id: unique; None for a new one.

    Raises:
        RunnerError: no engine answers, there is a project of that id, or the folder has the journals of another run.
    """

    name = "compose"

    def __init__(self, file: ComposeFile, folder: Path, *, run_id: str | None = None) -> None:
        self.file = file
        self.run_id = run_id or uuid.uuid4().hex[:12]
        self.folder = new_run_folder(folder)
        self.capabilities = _capabilities(file)
        overlay, name = self.folder / "overlay.yaml", f"{PROJECT_PREFIX}{self.run_id}"
        try:
            self.project = ComposeProject(
                file.files[0],
                name,
                {"JOB_ID": name, **file.variables},  # hosts set it for reasons of their own; an agent goes by it
                self.folder,
                overlays=[*file.files[1:], overlay],
            )
        except NoEngineError as error:
            raise RunnerError(str(error)) from error
        self._overlay = overlay
        self._members: dict[str, ComposeMember] = {}
        self._network: DockerNetwork | None = None
        self._open = contextlib.ExitStack()
        if self.project.containers():
            self.project.disconnect()
            raise RunnerError(
                f"there is a project {self.project.name} already; leave the run's id out, and get a new one"
            )

    def __repr__(self) -> str:
        return f"ComposeRunner({self.file.name!r}, run {self.run_id!r}, {len(self._members)} containers)"

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start everything, with these variables in the environment of every component.

        Raises:
            RunnerError: something did not start; nothing is left running then.
        """
        remove_leftovers()
        # The image's user is not that of this process, and writes there.
        (self.folder / JOURNALS).chmod(_FOR_EVERYBODY)
        content = overlay_of(self.file, self.folder, self.run_id, owner_mark(), environment or {})
        self._overlay.write_text(json.dumps(content, indent=2) + "\n")
        self._open.enter_context(self.project)
        try:
            with _as_runner_errors():
                self.project.up()
            self._look()
        except BaseException:  # Ctrl-C, too
            self.close()
            raise

    def members(self, service: str | None = None) -> list[Member]:
        """Those of a service, or all, by service and number; looks for new ones, such as after scaling."""
        self._look()
        found = [member for member in self._members.values() if service in (None, member.service)]
        return sorted(found, key=lambda member: (member.service, member.number))

    def redis(self) -> Member:
        """The Redis that the group meets in.

        Raises:
            RunnerError: the compose file has none, or it was not started.
        """
        found = self.members(self.file.redis) if self.file.redis is not None else []
        if not found:
            what = "was not started" if self.file.redis is not None else "has no service that is a Redis"
            raise RunnerError(f"{self.file.name} {what}")
        return found[0]

    def redis_command(self, *arguments: str) -> str:
        """Have Redis carry a command out, and return what it answers, as `redis-cli --raw` prints it.

        Raises:
            RunnerError: it does not answer, or refuses the command.
        """
        return self.redis().exec(["redis-cli", "-e", "--raw", *arguments]).removesuffix("\n")

    def set_fail_points(self, member: Member, text: str) -> None:
        """See `Runner`; the file is in the container, where only this one sees it."""
        self._members[member.label].write_file(FAIL_POINT_FILE, text)

    def agent_is_in_charge(self) -> bool:
        """Whether the agent has taken the restart policies away, which it does first."""
        if Capability.AGENT not in self.capabilities:
            return True
        components = [member for member in self._members.values() if member.component_type]
        return all(member.container.restart_policy == "no" for member in components)

    def restarts_by_agent(self) -> dict[str, int]:
        """See `Runner`."""
        words = self.redis_command("HGETALL", f"job:{self.project.name}:restarts").split()
        return {name: int(count) for name, count in zip(words[::2], words[1::2], strict=True)}

    def network(self) -> DockerNetwork:
        """What cuts and slows the network between the containers."""
        if self._network is None:
            self._network = DockerNetwork(
                self.project.client,
                {RUN_LABEL: self.run_id, OWNER_LABEL: owner_mark()},
                self.project.network,
                lambda member: self._members[member.label].container.container,
            )
        return self._network

    def keep_logs(self) -> list[Path]:
        """Write what each member has printed to a file `{label}.log` of the folder; the files."""
        with _as_runner_errors():
            return self.project.keep_logs()

    def close(self) -> None:
        """Stop and remove everything, the logs kept; may be called again."""
        network, self._network = self._network, None
        try:
            if network is not None:
                network.close()
        finally:
            with _as_runner_errors():
                self._open.close()

    def _look(self) -> None:
        """Take in containers that have come, and keep what is known of the others."""
        for container in self.project.containers():
            if container.label not in self._members:
                service = self.file.services.get(container.service)
                kind = service.component_type if service is not None else ""
                self._members[container.label] = ComposeMember(self.project, container, kind)


def overlay_of(
    file: ComposeFile, folder: Path, run_id: str, owner: str, environment: Mapping[str, str]
) -> dict[str, Any]:
    """What a run adds to a compose file, as a compose file.

    Args:
        file: of the topology.
        folder: of the run.
        run_id: for the labels.
        owner: as `owner_mark` has it, for the labels.
        environment: for every component.
    """
    labels = {RUN_LABEL: run_id, OWNER_LABEL: owner}
    variables = {**environment, JOURNAL_VARIABLE: _JOURNALS_INSIDE, FAIL_POINT_VARIABLE: FAIL_POINT_FILE}
    mount = {"type": "bind", "source": str(folder / JOURNALS), "target": _JOURNALS_INSIDE}
    component = {"init": True, "environment": variables, "volumes": [mount]}
    services = {
        service.name: {"labels": labels, **(component if service.component_type else {})}
        for service in file.services.values()
    }
    content: dict[str, Any] = _with_plain_dollars({"services": services})
    return content


def remove_leftovers(run_id: str | None = None) -> list[str]:
    """Remove the projects of runs whose owner is dead; the projects' names.

    Args:
        run_id: only this run, which is removed as well where its owner can't be seen from here, such as one of another
            machine; None for all runs whose owner is known to be dead.

    Raises:
        RunnerError: no engine answers.
    """

    def is_left(labels: Mapping[str, str]) -> bool:
        if RUN_LABEL not in labels or run_id not in (None, labels[RUN_LABEL]):
            return False
        dead = owner_is_dead(labels.get(OWNER_LABEL, ""))
        return dead is True or (run_id is not None and dead is None)

    try:
        with contextlib.closing(connect_to_engine()) as client:
            remove_helpers(client, is_left)
        left = {project for project, labels in project_labels() if is_left(labels)}
        return remove_projects(left.__contains__) if left else []
    except NoEngineError as error:
        raise RunnerError(str(error)) from error


def _capabilities(file: ComposeFile) -> frozenset[Capability]:
    """All, but for the agent where the file has none."""
    has_agent = any(service.labels.get(ROLE_LABEL) == "agent" for service in file.services.values())
    return frozenset(Capability) - (frozenset() if has_agent else {Capability.AGENT})


def _with_plain_dollars(node: Any) -> Any:
    """The same with every dollar sign doubled, which Compose reads as one."""
    if isinstance(node, dict):
        return {key: _with_plain_dollars(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_plain_dollars(value) for value in node]
    return node.replace("$", "$$") if isinstance(node, str) else node


@contextlib.contextmanager
def _as_runner_errors() -> Iterator[None]:
    """What Compose could not do, in a line; all of its words are in `compose.log`."""
    try:
        yield
    except ComposeError as error:
        first, _, said = str(error).partition("\n")
        last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "")
        raise RunnerError(f"{first} {last}".strip()) from error
