"""Topologies in containers for the tests, and what can be done to them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, ImageNotFound

from maro.testbed.compose_project import ComposeProject, NoEngineError, ServiceContainer, connect_to_engine
from tests.support.container_budget import containers
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
IMAGES = {
    variable: os.environ[variable]
    for variable in ("MARO_IMAGE", "MARO_BASE_IMAGE", "REDIS_IMAGE", "MARO_NET_IMAGE")
    if os.environ.get(variable)
}
"""As `scripts/engine env` names them; taken before the tests get an environment without such variables."""
MARO_IMAGE = IMAGES.get("MARO_IMAGE", "maro:latest")
REDIS_IMAGE = IMAGES.get("REDIS_IMAGE", "redis:8-alpine")
NET_IMAGE = IMAGES.get("MARO_NET_IMAGE", "maro-netfault:latest")
WITHIN_S = 120.0
"""How long a test waits for what takes seconds; the machine may be busy."""
TRAINING_WITHIN_S = 400.0
ROLLOUT_TYPES = ("learner", "actor")

Report = dict[str, Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Waiting for room on the machine counts, so these get longer than others."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(1500))


class Topology(ComposeProject):
    """A run of one of the project's compose files, and what the tests ask of it."""

    def follow(
        self, what: str, service: str, happened: Callable[[list[Report]], Any], within_s: float = WITHIN_S
    ) -> Any:
        """Wait until the reports of a service's only container show something; what they show."""
        container = self.container(service)

        def look() -> Any:
            found = happened(container.reports())
            if not found and (code := container.exit_code) is not None:
                found = happened(container.reports())
                assert found, f"{service} ended with code {code} before {what}; its log ends:\n{container.log(20)}"
            return found

        return eventually(look, within_s, lambda: f"{what}; {service}'s log ends:\n{container.log(20)}")

    def component(self, name: str) -> ServiceContainer:
        """The container of a component, by the component's name."""
        (found,) = (container for container in self.containers() if container.component == name)
        return found

    def names(self, service: str) -> set[str]:
        """The names of a service's components."""
        return {container.component for container in self.containers(service)}

    def registered(self, component_type: str) -> set[str]:
        """The names in the group's table of a type, as Redis has it now; none while it is down."""
        command = ["redis-cli", "--raw", "hkeys", f"{self.file.stem}:{component_type}"]
        try:
            done = self.container("redis").container.exec_run(command)
        except APIError:  # it is about to be started again
            return set()
        return set(done.output.decode().split()) if done.exit_code == 0 else set()


@pytest.fixture(scope="session")
def engine(_own_home: None) -> Iterator[docker.DockerClient]:
    """The engine, with the images that the tests need."""
    try:
        client = connect_to_engine()
    except NoEngineError as error:
        pytest.skip(str(error))
    for image in (MARO_IMAGE, REDIS_IMAGE, NET_IMAGE):
        try:
            client.images.get(image)
        except ImageNotFound:
            pytest.skip(f"the engine has no image {image}; `scripts/engine start` gets it, or builds it")
    yield client
    client.close()


StartTopology = Callable[..., Topology]


@pytest.fixture
def topology(engine: docker.DockerClient, tmp_path: Path) -> Iterator[StartTopology]:
    """Makes runs of compose files, which end with the test; prints where their logs are."""
    with ExitStack() as runs:

        def make(
            name: str, count: int, environment: Mapping[str, str] | None = None, overlays: Sequence[Path] = ()
        ) -> Topology:
            runs.enter_context(containers(count))
            project = f"maro-test-{uuid.uuid4().hex[:10]}"
            variables = {**IMAGES, "MARO_REPORT": "json", **(environment or {})}
            made = Topology(
                ROOT / "compose" / f"{name}.yaml", project, variables, tmp_path / project, overlays=overlays
            )
            runs.callback(print, f"the logs of {made!r} are in {made.logs}")
            return runs.enter_context(made)

        yield make
