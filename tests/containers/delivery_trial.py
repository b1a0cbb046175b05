"""A trial of what is promised about delivery, in containers: each component has its own, and journals that tests see.

with ContainerTrial(engine, folder) as trial:
    source = trial.member("source", {"sink": 1}, ("stream", {"to": ["sink"], "count": 1000, "rate": 500}))
    sink = trial.member("sink", {"source": 1}, ("consume", {}))
    trial.up()
    trial.await_count(RECEIVED, 300, "sink")
    sink.kill()
    sink.start()
    trial.await_all_finished()
    trial.end()
    trial.assert_delivered()
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from tests.containers.conftest import IMAGES, MARO_IMAGE, REDIS_IMAGE, ROOT, Topology
from tests.support.journal_watch import BOUND, WITHIN_S, JournalWatch
from tests.support.waiting import eventually

OPTIONS: dict[str, Any] = {
    "enable_rejoin": True,
    "enable_message_cache_for_rejoin": True,
    "max_length_for_message_cache": BOUND,
    "max_rejoin_times": 100,
    "minimal_peers": 0,
    "retry_interval_base_value": 0.1,
    "max_retries": 9,
}
"""Of every Proxy: 51 s for all to join, and the lease that the library has by default, for one is to run out."""
Command = tuple[str, Mapping[str, Any]]
"""Of `numbered_program`: its name, and its arguments."""

_FOLDER = "/trial"
_CHECKOUT = "/checkout"
_PROGRAM = f"{_CHECKOUT}/tests/support/numbered_program.py"
_RUN = f'exec maro component {_PROGRAM} "$$0" < "$$1"'  # Compose takes one of two dollars away
_STOP_WITHIN_S = 30
_LABELS = {"maro.testbed": "delivery"}


class ContainerMember:
    """A component's container, which may be started again.

    Args:
        name: of the component, and of its service.
        component_type: of it.
        project: that it belongs to.
    """

    def __init__(self, name: str, component_type: str, project: Topology) -> None:
        self.name = name
        self.component_type = component_type
        self.is_down = False
        """Ended, or about to be, by a test."""
        self._project = project

    def __repr__(self) -> str:
        return f"ContainerMember({self.name!r})"

    @property
    def container(self) -> Any:
        """As the engine knows it now; made anew for each question, since its address changes."""
        return self._project.container(self.name)

    @property
    def address(self) -> str:
        """Its address in the network of the trial."""
        (network,) = self.container.container.attrs["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])

    def kill(self) -> None:
        """SIGKILL every process of it; it has gone, with its address, when this returns."""
        kill_together(self)

    def start(self, address: str | None = None) -> None:
        """Start it again.

        Args:
            address: that it gets, in a network of `network_with_addresses`; None for whichever is free.
        """
        container = self.container.container
        if address is not None:
            (name,) = container.attrs["NetworkSettings"]["Networks"]
            network = container.client.networks.get(name)
            network.disconnect(container)
            network.connect(container, ipv4_address=address)
        container.start()
        self.is_down = False

    def kill_before_agent(self) -> tuple[str, float]:
        """SIGKILL, without a look at what comes of it: an agent may be quicker; the run that this ended."""
        container = self.container
        run = container.container.id, container.started_at_s
        self.is_down = True
        container.container.kill()
        return run

    def await_back(self, before: tuple[str, float]) -> None:
        """Wait until an agent has started it again, after that run."""

        def is_back() -> bool:
            found = self._project.containers(self.name)
            try:
                return (
                    len(found) == 1 and found[0].is_running and (found[0].container.id, found[0].started_at_s) != before
                )
            except NotFound:  # it was replaced meanwhile
                return False

        eventually(is_back, WITHIN_S, lambda: f"{self!r} back; the agent:\n{self._project.container('agent').log()}")
        self.is_down = False

    def leave(self) -> None:
        """Have it leave the group, and see that it does so in peace."""
        self.is_down = True
        container = self.container
        container.container.stop(timeout=_STOP_WITHIN_S)
        assert container.exit_code == 0, f"{self!r} ended with {container.exit_code}:\n{container.log(40)}"


def kill_together(*members: ContainerMember) -> None:
    """As `ContainerMember.kill`, of several: the last one is killed before the end of the first was waited for."""
    targets = [member.container.container for member in members]
    for member in members:
        member.is_down = True
    for target in targets:
        target.kill()
    for target in targets:
        target.wait(timeout=_STOP_WITHIN_S)


class ContainerTrial(JournalWatch):
    """A group of components in containers, with a Redis of its own; leaving the `with` removes everything.

    Args:
        engine: that runs them.
        folder: for the journals and logs; the containers see it.
        network: of that name; None for one that Compose makes.
        removal: None where there is no agent; else whether the agent replaces what has failed.
        restarts: that a name may have.
    """

    def __init__(
        self,
        engine: docker.DockerClient,
        folder: Path,
        network: str | None = None,
        *,
        removal: bool | None = None,
        restarts: int = OPTIONS["max_rejoin_times"],
    ) -> None:
        super().__init__(folder)
        self._engine = engine
        self._folder = folder
        self._file = folder / "delivery.json"
        name = f"maro-test-{uuid.uuid4().hex[:10]}"
        self._removal = removal
        self._restarts = restarts
        overlays = [] if removal is None else [ROOT / "compose" / "agent.yaml"]
        self.project = Topology(self._file, name, IMAGES, folder / "logs", overlays=overlays)
        self._services: dict[str, Any] = {"redis": _redis_service()}
        self._members: list[ContainerMember] = []
        self._networks = {"default": {"name": network, "external": True} if network else {"labels": _LABELS}}

    @property
    def redis(self) -> ContainerMember:
        """Can be killed, and starts empty."""
        return ContainerMember("redis", "redis", self.project)

    @property
    def members(self) -> list[ContainerMember]:
        return self._members

    def member(
        self,
        component_type: str,
        peers: Mapping[str, int],
        *commands: Command,
        name: str | None = None,
        ports: tuple[int, int] | None = None,
    ) -> ContainerMember:
        """Another component, which `up` will start.

        Args:
            component_type: of it.
            peers: that it expects.
            commands: which it carries out one after the other, in each of its starts.
            name: the type, if not given.
            ports: the first and the last that the kernel may choose; None for its own choice.
        """
        name = name or component_type
        home = self._folder / "home" / name
        home.mkdir(parents=True)
        lines = [
            json.dumps({"number": number, "do": do, "arguments": arguments, "fatal": True})
            for number, (do, arguments) in enumerate(commands, start=1)
        ]
        (home / "commands").write_text("".join(f"{line}\n" for line in lines))
        options = {
            **OPTIONS,
            "max_rejoin_times": self._restarts,
            "is_remove_failed_container": bool(self._removal),
        }
        arguments = json.dumps({"options": options, "managed": True, "in_child": False})
        self._services[name] = {
            "image": MARO_IMAGE,
            "init": True,
            "user": f"{os.getuid()}:{os.getgid()}",  # it writes into our folder
            "entrypoint": ["sh", "-c", _RUN, arguments, f"{_FOLDER}/home/{name}/commands"],
            "working_dir": _FOLDER,
            "environment": {
                "COMPONENT_TYPE": component_type,
                "COMPONENT_NAME": name,
                "MARO_GROUP": self._file.stem,
                "MARO_REDIS": "redis:6379",
                "MARO_PEERS": ",".join(f"{kind}={count}" for kind, count in peers.items()),
                "HOME": f"{_FOLDER}/home/{name}",
                "PYTHONPATH": _CHECKOUT,
                **({} if self._removal is None else {"JOB_ID": self.project.name}),
            },
            "volumes": [f"{ROOT / 'tests'}:{_CHECKOUT}/tests:ro", f"{self._folder}:{_FOLDER}"],
            "depends_on": {"redis": {"condition": "service_healthy"}},
            "healthcheck": {"disable": True},  # nobody asks; each check is a process more
            "sysctls": {"net.ipv4.ip_local_port_range": f"{ports[0]} {ports[1]}"} if ports else {},
            "labels": {**_LABELS, **self._agent_labels()},
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
        }
        member = ContainerMember(name, component_type, self.project)
        self._members.append(member)
        return member

    def _agent_labels(self) -> dict[str, str]:
        if self._removal is None:
            return {}
        return {
            "maro.job": self.project.name,
            "maro.rejoin.enable": "1",
            "maro.rejoin.max-restart-times": str(self._restarts),
            "maro.is-remove-failed-container": str(int(self._removal)),
        }

    def up(self) -> None:
        """Start everything; does not wait until they have joined."""
        self._file.write_text(json.dumps({"services": self._services, "networks": self._networks}, indent=1))
        self.project.up()

    def ended(self) -> list[str]:
        filters = {"label": f"com.docker.compose.project={self.project.name}", "status": ["exited", "dead"]}
        found = self._engine.api.containers(all=True, filters=filters)
        names = {container["Labels"]["com.docker.compose.service"] for container in found}
        return [member.name for member in self._members if member.name in names and not member.is_down]

    def await_log(self, member: ContainerMember, text: str) -> None:
        """Wait until the component has logged something."""
        eventually(lambda: text in self.log(member), WITHIN_S, lambda: f"{text!r} in:\n{self.log(member)}")

    def log(self, member: ContainerMember) -> str:
        """What the library and the program have logged of a component, over all of its starts."""
        files = sorted((self._folder / "home" / member.name / ".maro" / "log").glob("*"))
        return "\n".join([member.container.log(), *(file.read_text(errors="replace") for file in files)])

    def await_registered(self, *members: ContainerMember) -> None:
        """Wait until Redis holds these components."""

        def all_are() -> bool:
            return all(member.name in self.project.registered(member.component_type) for member in members)

        eventually(all_are, WITHIN_S, f"{members} register")

    def end(self) -> None:
        """Have all leave, the first that was made first, and see that each does so in peace."""
        for member in self._members:
            member.leave()

    def __enter__(self) -> ContainerTrial:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            for member in self._members:
                if self.project.containers(member.name):
                    print(f"--- {member!r} wrote:\n{self.log(member)}")
        finally:
            self.project.__exit__(kind, error, traceback)


@contextmanager
def network_with_addresses(engine: docker.DockerClient) -> Iterator[str]:
    """The name of a new network in which a container can be given an address of our choice.

    The engine allows that only where the range of addresses was chosen as well; so it is asked for a range, and given
    that one back, which another test may be quicker to take.
    """
    name = f"maro-test-{uuid.uuid4().hex[:10]}"

    def made() -> Any:
        free = engine.networks.create(name, labels=_LABELS)
        free.reload()
        pool = IPAMPool(subnet=free.attrs["IPAM"]["Config"][0]["Subnet"])
        free.remove()
        try:
            return engine.networks.create(name, labels=_LABELS, ipam=IPAMConfig(pool_configs=[pool]))
        except APIError as error:
            if "overlaps" not in str(error):
                raise
            return None

    network = eventually(made, WITHIN_S, "a range of addresses that nobody else takes")
    try:
        yield name
    finally:
        network.remove()


def _redis_service() -> dict[str, Any]:
    """Of the project's own settings, which keep nothing."""
    return {
        "image": REDIS_IMAGE,
        "init": True,
        "command": ["redis-server", "/etc/maro/redis.conf", "--protected-mode", "no"],
        "volumes": [f"{ROOT / 'docker' / 'redis.conf'}:/etc/maro/redis.conf:ro"],
        "healthcheck": {"test": ["CMD", "redis-cli", "ping"], "interval": "1s", "timeout": "5s", "retries": 30},
        "labels": _LABELS,
    }
