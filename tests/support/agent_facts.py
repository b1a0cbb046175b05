"""Containers for the tests of the agent's decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from maro.agent.facts import Container, RejoinSettings, Status

ALWAYS = RejoinSettings(True, 3, False)
ALWAYS_ANEW = RejoinSettings(True, 3, True)


def container(number: int = 0, **changes: Any) -> Container:
    """A component's container that runs since second 100, and may come back three times."""
    usual = Container(
        id=f"id-{number}",
        name=f"job-actor-{number}",
        component=f"actor_proxy_{number}",
        component_type="actor",
        group="group",
        started_at_s=100.0,
        labelled=ALWAYS,
    )
    return replace(usual, **changes)


def ended(running: Container, code: int, **changes: Any) -> Container:
    """The same one, after its end, ten seconds after its start."""
    at_s = running.started_at_s + 10
    return replace(running, status=Status.ENDED, exit_code=code, finished_at_s=at_s, **changes)


def restarted(failed: Container) -> Container:
    """The same one, started once more."""
    return replace(failed, status=Status.RUNNING, started_at_s=failed.finished_at_s + 1, exit_code=0)


def successor(failed: Container, **changes: Any) -> Container:
    """The one that an agent made in its place, not started yet."""
    made = replace(
        failed, id=f"{failed.id}+", replaces=failed.id, status=Status.CREATED, started_at_s=0.0, finished_at_s=0.0
    )
    return replace(made, exit_code=0, **changes)
