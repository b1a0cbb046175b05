"""A trial of the agent: a few components that know each other, a Redis, and agents over them, all in containers.

with AgentTrial(engine, folder, removal=True) as trial:
    trial.up()
    run = trial.kill("a")
    trial.await_back("a", run)
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import docker
from docker.errors import NotFound

from maro.testbed.compose_project import ServiceContainer
from tests.containers.conftest import IMAGES, MARO_IMAGE, REDIS_IMAGE, ROOT, WITHIN_S, Topology
from tests.support.waiting import eventually

OVERLAY = ROOT / "compose" / "agent.yaml"
GROUP = "trial"
TYPE = "station"
Run = tuple[str, float]
"""A container's id, and when it was started."""
_JOB = "${COMPOSE_PROJECT_NAME}"  # for Compose to fill in
_LABELS = {"maro.testbed": "agent", "maro.job": _JOB}
INLINE = "written in the Compose file itself"
_INLINE_AT = "/etc/station/inline"
_PROGRAM = "/checkout/tests/support/agent_station.py"


class AgentTrial:
    """A job of stations with agents; leaving the `with` removes everything.

    Args:
        engine: that runs them.
        folder: for logs.
        removal: whether failed containers are replaced.
        names: of the components.
        most: restarts of a name.
        agents: how many.
        fails: the components that fail before they join.
        socket: what the agents take for the engine's socket; None for its own.
    """

    def __init__(
        self,
        engine: docker.DockerClient,
        folder: Path,
        *,
        removal: bool = False,
        names: str = "abc",
        most: int = 5,
        agents: int = 1,
        fails: str = "",
        socket: Path | None = None,
    ) -> None:
        self._engine = engine
        self._agents = agents
        self.names = names
        self._file = folder / "trial.json"
        options = {"max_rejoin_times": most, "is_remove_failed_container": removal}
        services = {name: _station(name, options, name in fails) for name in names}
        content = {
            "services": {"redis": _redis(), **services},
            "networks": {"default": {"labels": _LABELS}},
            "configs": {"inline": {"content": INLINE}},
        }
        self._file.write_text(json.dumps(content, indent=1))
        project = f"maro-test-{uuid.uuid4().hex[:10]}"
        variables = {**IMAGES, "RESTART": "no", **({"DOCKER_SOCKET": str(socket)} if socket else {})}
        self.project = Topology(self._file, project, variables, folder / "logs", overlays=[OVERLAY])

    def up(self) -> None:
        """Start everything, and wait until all have met."""
        self.project.up("--scale", f"agent={self._agents}")
        for name in self.names:
            self.await_peers(name, set(self.names) - {name})
        for agent in self.agents():
            eventually(lambda agent=agent: "taking stock" in agent.log(), WITHIN_S, "an agent watches")

    # What is done.

    def run_of(self, name: str) -> Run:
        """What tells this start of a component's container from the next."""
        container = self.project.container(name)
        return container.container.id, container.started_at_s

    def kill(self, name: str) -> Run:
        """SIGKILL by the engine, which is no stop; the run that this ended."""
        run = self.run_of(name)
        self.project.container(name).container.kill()
        return run

    def crash(self, agent: ServiceContainer) -> None:
        """SIGKILL an agent inside its container, whose restart policy brings it back; does not wait until it is dead.

        An engine that is busy may never say that a command has ended whose container did at the same moment.
        """
        agent.container.exec_run(["sh", "-c", "kill -9 -1"], detach=True)

    def end(self, name: str, code: int) -> ServiceContainer:
        """Have a component end by itself; the container as it was."""
        container = self.project.container(name)
        container.container.exec_run(["sh", "-c", f"echo {code} > /tmp/.end && mv /tmp/.end /tmp/end"])
        return container

    # What is seen.

    def agents(self) -> list[ServiceContainer]:
        return self.project.containers("agent")

    def said_by_agents(self) -> str:
        return "\n".join(f"--- {agent.label}\n{agent.log()}" for agent in self.agents())

    def await_said(self, text: str) -> None:
        """Wait until an agent has logged something."""
        eventually(lambda: text in self.said_by_agents(), WITHIN_S, lambda: f"{text!r} in\n{self.said_by_agents()}")

    def await_peers(self, name: str, peers: set[str]) -> None:
        """Wait until a component knows of these, and no others."""

        def known() -> bool:
            found = self.project.containers(name)
            reports = found[0].reports() if len(found) == 1 else []
            return bool(reports) and set(reports[-1]["peers"]) == peers

        eventually(known, WITHIN_S, lambda: f"{name} knows {peers}; {self.account()}")

    def await_back(self, name: str, before: Run) -> ServiceContainer:
        """Wait until a component runs again, after that run, and in one container; that container."""

        def is_back() -> ServiceContainer | None:
            found = self.project.containers(name)
            if len(found) != 1:
                return None
            try:
                is_new = found[0].is_running and (found[0].container.id, found[0].started_at_s) != before
            except NotFound:  # it was replaced meanwhile
                return None
            return found[0] if is_new else None

        return eventually(is_back, WITHIN_S, lambda: f"{name} back; {self.account()}")

    def await_all_together(self, *names: str) -> None:
        """Wait until these know each other, and nobody else."""
        for name in names or self.names:
            self.await_peers(name, set(names or self.names) - {name})

    def restarts(self, name: str) -> int:
        """That Redis has counted of a component."""
        said = self._redis_cli("hget", f"job:{self.project.name}:restarts", name)
        return int(said) if said else 0

    def inline_config_of(self, name: str) -> str:
        """What a component's container has of the config that Compose copies into it."""
        done = self.project.container(name).container.exec_run(["cat", _INLINE_AT])
        return done.output.decode()

    def incarnation(self, name: str) -> int:
        """With which a component is registered; 0 if it is not."""
        said = self._redis_cli("hget", f"{GROUP}:{TYPE}", name)
        return int(json.loads(said)["incarnation"]) if said.startswith("{") else 0

    def states(self) -> dict[str, str]:
        """Of every container of the project, by the engine's own list."""
        return {container.label: container.state()["Status"] for container in self.project.containers()}

    def account(self) -> str:
        """Of how things are, for a failure."""
        listed = {container.label: container.container.short_id for container in self.project.containers()}
        return f"{self.states()} {listed}\n{self.said_by_agents()}"

    def _redis_cli(self, *arguments: str) -> str:
        done = self.project.container("redis").container.exec_run(["redis-cli", "--raw", *arguments])
        return done.output.decode().strip()

    def __enter__(self) -> AgentTrial:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            print(self.account())
        finally:
            self.project.__exit__(kind, error, traceback)


def _station(name: str, options: Mapping[str, Any], fails: bool) -> dict[str, Any]:
    labels = {
        **_LABELS,
        "maro.rejoin.enable": "1",
        "maro.rejoin.max-restart-times": str(options["max_rejoin_times"]),
        "maro.is-remove-failed-container": str(int(options["is_remove_failed_container"])),
    }
    return {
        "image": MARO_IMAGE,
        "init": True,
        "command": [_PROGRAM],
        "environment": {
            "COMPONENT_TYPE": TYPE,
            "COMPONENT_NAME": name,
            "MARO_GROUP": GROUP,
            "MARO_REDIS": "redis:6379",
            "MARO_PEERS": f"{TYPE}=1",
            "JOB_ID": _JOB,
            "PYTHONPATH": "/checkout",
            "STATION": json.dumps({"options": options, "fails": fails}),
        },
        "volumes": [f"{ROOT / 'tests'}:/checkout/tests:ro", "/nameless"],
        "configs": [{"source": "inline", "target": _INLINE_AT}],
        "mem_limit": "256m",
        "depends_on": {"redis": {"condition": "service_healthy"}},
        "healthcheck": {"disable": True},
        "labels": labels,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }


def _redis() -> dict[str, Any]:
    return {
        "image": REDIS_IMAGE,
        "init": True,
        "command": ["redis-server", "/etc/maro/redis.conf", "--protected-mode", "no"],
        "volumes": [f"{ROOT / 'docker' / 'redis.conf'}:/etc/maro/redis.conf:ro"],
        "healthcheck": {"test": ["CMD", "redis-cli", "ping"], "interval": "1s", "timeout": "5s", "retries": 30},
        "labels": _LABELS,
        "restart": "on-failure:10",
    }
