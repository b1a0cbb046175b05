"""How long it takes to get over a kill, with an agent and without: measured in containers, with a table and a picture.

`python -m maro.testbed.recovery`, or `scripts/recovery`, which sets up what it needs.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from maro.testbed.compose_project import ComposeProject, NoEngineError, connect_to_engine
from maro.testbed.recovery_figures import Measured, Recovery, recovery_of
from maro.testbed.recovery_picture import picture
from maro.utils.deployment import packaged_files

T = TypeVar("T")

EXIT_MISSED = 1
EXIT_NO_ENGINE = 3
PROJECT_PREFIX = "maro-recovery-"
_ASK_EVERY_S = 0.05
_WITHIN_S = 60.0
_JOB = "${COMPOSE_PROJECT_NAME}"  # for Compose to fill in
_LABELS = {"maro.testbed": "recovery", "maro.job": _JOB}
_WORKLOAD = "maro.testbed.workloads.beats"
_ENGINE_ROUNDING_S = 0.001


class RecoveryError(Exception):
    """Something that has to come did not come in time; the text says what."""


def compose_file(redis_conf: Path) -> dict[str, Any]:
    """The content of a compose file with a sender, a watcher and their Redis.

    Args:
        redis_conf: settings of the Redis.
    """
    redis = {
        "image": os.environ.get("REDIS_IMAGE", "redis:8-alpine"),
        "init": True,
        "command": ["redis-server", "/etc/maro/redis.conf", "--protected-mode", "no"],
        "volumes": [f"{redis_conf}:/etc/maro/redis.conf:ro"],
        "healthcheck": {"test": ["CMD", "redis-cli", "ping"], "interval": "1s", "timeout": "5s", "retries": 30},
        "labels": _LABELS,
    }
    services = {"redis": redis, "sender": _component("sender", "watcher"), "watcher": _component("watcher", "sender")}
    return {"services": services, "networks": {"default": {"labels": _LABELS}}}


def _component(component_type: str, peer: str) -> dict[str, Any]:
    return {
        "image": os.environ.get("MARO_IMAGE", "maro:latest"),
        "init": True,
        "command": [f"{_WORKLOAD}.{component_type}"],
        "environment": {
            "COMPONENT_TYPE": component_type,
            "MARO_GROUP": "recovery",
            "MARO_REDIS": "redis:6379",
            "MARO_PEERS": f"{peer}=1",
            "JOB_ID": _JOB,
        },
        "depends_on": {"redis": {"condition": "service_healthy"}},
        "healthcheck": {"disable": True},  # each check is a process more
        "labels": {**_LABELS, "maro.rejoin.enable": "1", "maro.rejoin.max-restart-times": "1000000"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }


class Trial:
    """One group that is watched while its sender is killed.

    Args:
        project: with the content of `compose_file`, started.
        has_agent: whether an agent starts the sender again; otherwise this does.
    """

    def __init__(self, project: ComposeProject, has_agent: bool) -> None:
        self._project = project
        self._has_agent = has_agent
        self.starts: list[float] = []
        """Where this starts the sender: from asking for that to its program's first line, in seconds."""

    def kill(self) -> Recovery:
        """Kill the sender once, and wait until everything goes on."""
        self._await("the sender's beats", self._is_heard)
        sender = self._project.container("sender")
        killed_s = time.time()
        sender.container.kill()
        asked_s = killed_s
        if not self._has_agent:
            self._await("the end of the lease", lambda: self._said_since(killed_s, "absent"))
            asked_s = time.time()
            sender.container.start()
        self._await("the sender's start", lambda: sender.started_at_s > killed_s - _ENGINE_ROUNDING_S)
        watcher = self._project.container("watcher")
        found = self._await("the recovery", lambda: recovery_of(killed_s, sender.started_at_s, watcher.reports()))
        if not self._has_agent:
            self.starts.append(round(killed_s + found.began - asked_s, 6))
        return found

    def _is_heard(self) -> bool:
        """Whether the watcher has the sender, and a beat of its latest start."""
        events = [report["event"] for report in self._project.container("watcher").reports()]
        last = {event: number for number, event in enumerate(events)}
        return last.get("first", -1) > last.get("absent", -1) and last.get("present", -1) > last.get("absent", -1)

    def _said_since(self, at_s: float, event: str) -> bool:
        reports = self._project.container("watcher").reports()
        return any(report["event"] == event and report["at"] > at_s for report in reports)

    def _await(self, what: str, question: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + _WITHIN_S
        while not (answer := question()):
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {one.label}\n{one.log(20)}" for one in self._project.containers())
                raise RecoveryError(f"{what} did not come within {_WITHIN_S:g} s:\n{logs}")
            time.sleep(_ASK_EVERY_S)
        return answer


def measure(kills: int, logs: Path, tell: Callable[[str], None]) -> Measured:
    """Kill so often with an agent, and as often without.

    Args:
        kills: how often.
        logs: folder that gets the logs of all containers.
        tell: gets a line for each kill.

    Raises:
        NoEngineError: nothing answers.
        RecoveryError: something did not come back.
    """
    files = packaged_files(Path(__file__).resolve().parents[1])
    logs.mkdir(parents=True, exist_ok=True)
    file = logs / "recovery.json"
    file.write_text(json.dumps(compose_file(files / "docker" / "redis.conf"), indent=1))
    found: dict[bool, tuple[Recovery, ...]] = {}
    starts: list[float] = []
    for has_agent in (True, False):
        how = "with an agent" if has_agent else "by lease only"
        overlays = [files / "compose" / "agent.yaml"] if has_agent else []
        name = f"{PROJECT_PREFIX}{uuid.uuid4().hex[:8]}"
        # Hosts set JOB_ID for reasons of their own; an agent goes by it.
        with ComposeProject(file, name, {"JOB_ID": name}, logs / how.replace(" ", "-"), overlays=overlays) as project:
            project.up()
            trial = Trial(project, has_agent)
            recoveries = []
            for number in range(1, kills + 1):
                recoveries.append(trial.kill())
                last = recoveries[-1]
                tell(f"{how}, kill {number}: known {last.known:.3f} s, rejoined {last.rejoined:.3f} s")
            found[has_agent] = tuple(recoveries)
            starts += trial.starts
    return Measured(found[True], found[False], tuple(starts))


@click.command()
@click.option("--kills", type=click.IntRange(1), default=30, show_default=True, help="How many, in each way.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(".test-logs/recovery.json"),
    show_default=True,
    help="Gets every figure.",
)
@click.option(
    "--picture",
    "picture_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(".test-logs/recovery.svg"),
    show_default=True,
    help="Gets a picture of them, as SVG.",
)
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".test-logs/recovery"),
    show_default=True,
    help="Gets the log of each container.",
)
def main(kills: int, json_file: Path, picture_file: Path, logs: Path) -> None:
    """Kill a component again and again, and measure how long its peer takes to know, to have it back, to hear of it.

    Once with an agent, and once without: then the peer goes by the lease alone, and the container is started when it
    has run out, which also tells what the start of a container takes by itself. All times are those of this machine's
    one clock.

    \b
    The exit code is 0 if the medians are within their goals, 1 if one is not
    or something did not come back, 2 for a wrong command line, and 3 without a
    container engine.
    """
    try:
        connect_to_engine().close()
        measured = measure(kills, logs.resolve(), click.echo)
    except NoEngineError as error:
        click.echo(f"The measuring needs containers, but {error}", err=True)
        sys.exit(EXIT_NO_ENGINE)
    except RecoveryError as error:
        click.echo(f"maro: {error}", err=True)
        sys.exit(EXIT_MISSED)
    for file, text in (
        (json_file, json.dumps(measured.as_json(), indent=1)),
        (picture_file, picture(f"Recovery from {kills} kills", measured.durations())),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    click.echo(measured.table())
    sys.exit(0 if all(measured.verdict().values()) else EXIT_MISSED)


if __name__ == "__main__":
    main()
