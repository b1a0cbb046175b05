"""Who belongs to a job, and how they are: from the engine, and from Redis where it answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from maro.agent.engine import Engine
from maro.agent.facts import NO_REJOIN, Container, Known, Status
from maro.agent.job_store import JobStore
from maro.agent.states import State
from maro.communication.registration import StoreUnavailableError
from maro.communication.settings import RedisAddress


class Records(Protocol):
    """What the job's store answers."""

    def known(self, component: str, container_name: str = "") -> Known:
        """What it holds of a component, and of a container that is called so by those inside."""

    def incarnation(self, group: str, component: str) -> int | None:
        """That holds the lease of a component's name."""


@dataclass(frozen=True)
class Row:
    """One component."""

    component: str
    type: str
    incarnation: int | None
    """None while it has no lease."""
    container: str
    state: str
    """As the agent calls it; `joining` for one that runs and has no lease yet."""
    restarts_left: int
    since: str
    """When its container was started, or has ended: ISO 8601, UTC; empty for one that never ran."""


def overview_of_job(job: str, redis_address: RedisAddress) -> tuple[list[Row], str]:
    """The components of a job, by name; and, where Redis does not answer, why what only it knows is missing.

    Raises:
        EngineError: there is no container engine.
    """
    engine = Engine(job)
    try:
        containers = engine.containers()
    finally:
        engine.close()
    store = JobStore(redis_address, job, "overview")
    try:
        return overview(containers, store), ""
    except StoreUnavailableError as error:
        return overview(containers, None), str(error)
    finally:
        store.close()


def overview(containers: Iterable[Container], records: Records | None) -> list[Row]:
    """The components among these containers, by name.

    Args:
        containers: of a job.
        records: None where Redis does not answer: then nobody has an incarnation, and labels tell the budget.

    Raises:
        StoreUnavailableError: Redis does not answer.
    """
    rows = [_row(container, container.component, records) for container in containers if container.component]
    return sorted(rows, key=lambda row: (row.component, row.since))


def _row(container: Container, component: str, records: Records | None) -> Row:
    known = records.known(component, container.told_name) if records else Known()
    incarnation = _incarnation(container, (component, *known.names), records)
    settings = known.settings or container.labelled or NO_REJOIN
    left = max(0, settings.max_restarts - known.restarts) if settings.enable else 0
    runs = container.status is Status.RUNNING
    at_s = container.started_at_s if runs else container.finished_at_s
    since = datetime.fromtimestamp(at_s, timezone.utc).isoformat(timespec="seconds") if at_s else ""
    state = _state(container, known, joined=incarnation is not None or records is None)
    return Row(component, container.component_type, incarnation, container.name, state, left, since)


def _incarnation(container: Container, names: Iterable[str], records: Records | None) -> int | None:
    """That of the first of its names that has one."""
    if records is None or container.group is None:
        return None
    found = (records.incarnation(container.group, name) for name in names)
    return next((incarnation for incarnation in found if incarnation is not None), None)


def _state(container: Container, known: Known, joined: bool) -> str:
    if container.status is Status.RUNNING:
        return State.RUNNING.value if joined else "joining"
    if container.status is Status.CREATED:
        return State.RESTARTING.value if container.replaces else container.status.value
    if known.closed_run == container.run:
        return State.GIVEN_UP.value if known.given_up else State.ENDED.value
    if known.counted_run == container.run:
        return State.RESTARTING.value
    return State.ENDED.value if container.exit_code == 0 else State.FAILED.value
