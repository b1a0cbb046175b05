"""What is shown of a job's components."""

from __future__ import annotations

import pytest

from maro.agent.facts import Container, Known, Status
from maro.agent.overview import overview
from tests.support.agent_facts import ALWAYS, container, ended, successor

ENDED = ended(container(), 137)


class Records:
    """A store that knows one component."""

    def __init__(self, known: Known, lease: int | None) -> None:
        self._known, self._lease = known, lease

    def known(self, component: str, container_name: str = "") -> Known:
        return self._known

    def incarnation(self, group: str, component: str) -> int | None:
        return self._lease


@pytest.mark.parametrize(
    ("one", "known", "lease", "state"),
    [
        (container(), Known(), 7, "running"),
        (container(), Known(), None, "joining"),
        (ENDED, Known(), None, "failed"),
        (ended(container(), 0), Known(), None, "ended"),
        (ENDED, Known(counted_run=ENDED.run), None, "restarting"),
        (ENDED, Known(closed_run=ENDED.run), None, "ended"),
        (ENDED, Known(closed_run=ENDED.run, given_up=True), None, "given up"),
        (successor(ENDED), Known(), None, "restarting"),
        (container(status=Status.CREATED), Known(), None, "created"),
    ],
)
def test_states_are_told_as_the_agent_tells_them(one: Container, known: Known, lease: int | None, state: str) -> None:
    """From the engine's description, and what an agent has kept."""
    (row,) = overview([one], Records(known, lease))
    assert row.state == state
    assert row.incarnation == lease


def test_what_is_left_of_the_budget_and_since_when() -> None:
    """In the group's own numbers."""
    rows = overview([container(1), ENDED], Records(Known(restarts=1, settings=ALWAYS), None))
    assert [row.component for row in rows] == ["actor_proxy_0", "actor_proxy_1"]
    assert [row.restarts_left for row in rows] == [2, 2]
    assert [row.since for row in rows] == ["1970-01-01T00:01:50+00:00", "1970-01-01T00:01:40+00:00"]


def test_without_redis_the_engine_tells_what_it_can() -> None:
    """Whoever runs is running; Redis itself is no component."""
    (row,) = overview([container(), container(8, component=None)], None)
    assert (row.state, row.incarnation, row.restarts_left) == ("running", None, ALWAYS.max_restarts)
