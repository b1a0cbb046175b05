"""The demo's learner and actors as processes of this machine, with a Redis of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from maro.testbed.demo.cluster import WORKLOAD, Cluster, DemoError
from maro.testbed.launcher import LocalComponent, LocalGroup
from maro.testbed.redis_server import RedisServer
from maro.testbed.report_reader import ReportReader

_MODULE = f"maro.testbed.workloads.{WORKLOAD}"


@contextmanager
def as_processes(actors: int, seed: int, embedded: bool | None, logs: Path) -> Iterator[Cluster]:
    """A Redis and a group beside it, both ended with the `with`.

    Args:
        actors: how many.
        seed: of everything random.
        embedded: which Redis, as `RedisServer` takes it.
        logs: folder for the components' logs.

    Raises:
        DemoError: there is no such Redis, or it does not start.
    """
    try:
        server = RedisServer(embedded)
    except RuntimeError as error:
        raise DemoError(str(error)) from error
    with server as redis, LocalGroup(f"demo-{redis.port}", redis.url, logs) as group:
        about = f"{redis.kind} Redis on port {redis.port}; one learner, {actors} actors, seed {seed}"
        yield ProcessCluster(group, actors, seed, about)


class ProcessCluster(Cluster):
    """Local processes.

    Args:
        group: that they are started in.
        actors: how many.
        seed: of everything random.
        description: see `Cluster`.
    """

    restarter = "the demo"

    def __init__(self, group: LocalGroup, actors: int, seed: int, description: str) -> None:
        self.description = description
        self._group = group
        self._count = actors
        self._arguments = ["--seed", str(seed)]
        self._actors: dict[str, LocalComponent] = {}
        self._restarted_at: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"ProcessCluster({self.description!r})"

    @property
    def labels(self) -> Mapping[str, str]:
        """Processes are called by their names."""
        return {name: name for name in self._actors}

    def start(self) -> None:
        """Start the learner, then the actors."""
        learner_arguments = [*self._arguments, "--json"]
        peers = {"actor": self._count}
        self._learner = self._group.add("learner", 0, f"{_MODULE}.learner", learner_arguments, peers, piped=True)
        for number in range(self._count):
            actor = self._group.add("actor", number, f"{_MODULE}.actor", self._arguments, {"learner": 1})
            self._actors[actor.name] = actor

    def reports(self) -> ReportReader:
        """What the learner writes into its pipe."""
        return ReportReader(self._learner.process.stdout or ())

    def crash(self, actor: str) -> None:
        """Kill the process, and start another one under its name."""
        self._actors[actor].kill()
        self._restarted_at[actor] = time.time()
        self._actors[actor].start()

    def restarted_at(self, actor: str) -> float | None:
        """The learner's clock is ours."""
        return self._restarted_at.get(actor)

    def check(self) -> None:
        """No actor ends before the demo does."""
        for actor in self._actors.values():
            if actor.process.poll() is not None:
                raise DemoError(f"{actor.name} ended with code {actor.process.returncode}:\n{actor.last_lines()}")

    def learner_end(self) -> int:
        """Its exit code; it is killed if it does not end."""
        return self._learner.wait()

    def learner_log(self) -> str:
        """The end of its log."""
        return self._learner.last_lines()
