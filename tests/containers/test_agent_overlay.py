"""The agent's overlay over a topology of the project, as a person would start it: two files, and nothing else.

What ends with 64 and 65 is a guest, a component of a type that the rollout does not know, in the same job.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from docker.errors import NotFound

from maro.testbed.compose_project import ServiceContainer
from tests.containers.agent_trial import OVERLAY
from tests.containers.conftest import MARO_IMAGE, ROOT, WITHIN_S, Report, StartTopology, Topology
from tests.support.waiting import eventually

ACTORS = 3
_JOB = "${COMPOSE_PROJECT_NAME}"  # for Compose to fill in


def guest(folder: Path) -> Path:
    """A file with one more service."""
    file = folder / "guest.json"
    service = {
        "image": MARO_IMAGE,
        "init": True,
        "command": ["/checkout/tests/support/agent_station.py"],
        "environment": {
            "COMPONENT_TYPE": "guest",
            "MARO_GROUP": "rollout",
            "MARO_REDIS": "redis:6379",
            "MARO_PEERS": "learner=1",
            "JOB_ID": _JOB,
            "PYTHONPATH": "/checkout",
            "STATION": json.dumps({"options": {}, "fails": False}),
            "MARO_EXIT_ZERO_FOR_DO_NOT_RESTART": "1",
        },
        "volumes": [f"{ROOT / 'tests'}:/checkout/tests:ro"],
        "depends_on": {"redis": {"condition": "service_healthy"}},
        "labels": {"maro.testbed": "rollout", "maro.job": _JOB, "maro.rejoin.enable": "1"},
        "restart": "on-failure:10",
    }
    file.write_text(json.dumps({"services": {"guest": service}}))
    return file


@pytest.fixture
def removal() -> bool:
    """Whether failed containers are replaced; tests may say so."""
    return False


@pytest.fixture
def rollout(topology: StartTopology, tmp_path: Path, removal: bool) -> Topology:
    """`docker compose -f compose/rollout.yaml -f compose/agent.yaml up`, with a guest; every actor has delivered."""
    overlays = [OVERLAY, guest(tmp_path)]
    variables = {"ACTORS": str(ACTORS), "TARGET": "500", "REMOVAL": str(int(removal))}
    made = topology("rollout", ACTORS + 4, variables, overlays=overlays)
    made.up()
    made.follow("every actor delivered", "learner", lambda reports: len(episodes(reports)) == ACTORS)
    eventually(lambda: no_policies_are_left(made), WITHIN_S, lambda: said(made))
    return made


def episodes(reports: list[Report]) -> dict[str, int]:
    """Episodes by actor, as the learner reported last."""
    return dict(reports[-1].get("episodes_by_actor", {})) if reports else {}


def no_policies_are_left(run: Topology) -> bool:
    """Whether the agent has taken the restart policies of all components."""
    return all(container.restart_policy == "no" for container in components(run))


def components(run: Topology) -> list[ServiceContainer]:
    return [container for container in run.containers() if container.service in ("learner", "actor", "guest")]


def said(run: Topology) -> str:
    """By the agent."""
    return run.container("agent").log()


def await_said(run: Topology, text: str) -> None:
    eventually(lambda: text in said(run), WITHIN_S, lambda: f"{text!r} in\n{said(run)}")


def end(container: ServiceContainer, code: int) -> None:
    """Have a station end with a code."""
    container.container.exec_run(["sh", "-c", f"echo {code} > /tmp/.end && mv /tmp/.end /tmp/end"])


def await_restart(run: Topology, victim: ServiceContainer, removal: bool) -> None:
    """SIGKILL, which is no stop, and wait until the agent has started it again, or another one in its place."""
    before = victim.started_at_s
    victim.container.kill()

    def is_back() -> bool:
        found = [one for one in run.containers(victim.service) if one.label == victim.label]
        try:
            return len(found) == 1 and found[0].is_running and found[0].started_at_s != before
        except NotFound:  # it was replaced meanwhile
            return False

    eventually(is_back, WITHIN_S, lambda: said(run))
    (now,) = (one for one in run.containers(victim.service) if one.label == victim.label)
    assert (now.container.id != victim.container.id) is removal


@pytest.mark.parametrize("removal", [False, True], ids=["restarted", "replaced"])
def test_the_overlay_alone_has_an_agent_restart_what_fails_and_nothing_else(rollout: Topology, removal: bool) -> None:
    """Killed, scaled down, 64, and taken down."""
    # Given a rollout with an agent; Redis keeps its policy
    assert rollout.container("redis").restart_policy.startswith("on-failure")

    # When an actor is killed by the engine, which a policy would take for a wish, then it is started, and plays
    victim = rollout.containers("actor")[0]
    played = episodes(rollout.container("learner").reports())[victim.component]
    await_restart(rollout, victim, removal)
    rollout.follow("it plays again", "learner", lambda reports: episodes(reports).get(victim.component, 0) != played)

    # When there are to be fewer actors, then those that went do not come back
    before = rollout.names("actor")
    rollout.up("--no-recreate", "--scale", "actor=2")
    (gone,) = before - rollout.names("actor")
    await_said(rollout, f"{gone} was asked to end")
    await_restart(rollout, rollout.containers("actor")[0], removal)
    assert len(rollout.containers("actor")) == 2

    # When a component ends with 64, then that is no 0, for an agent is in charge; and it is given up
    leaving = rollout.container("guest")
    end(leaving, 64)
    await_said(rollout, f"{leaving.component} is given up")
    assert leaving.exit_code == 64

    # When everything is taken down, then nothing comes back
    rollout.down()
    assert rollout.containers() == []


def test_code_65_ends_a_rollout_with_its_redis_and_its_agent(rollout: Topology) -> None:
    """The agent last, with 0."""
    # When a component says that all are to end
    end(rollout.container("guest"), 65)

    # Then all have ended, and nobody was started again
    agent = rollout.container("agent")
    assert agent.wait(WITHIN_S) == 0
    others = [container for container in rollout.containers() if container.service != "agent"]
    assert [container.label for container in others if container.is_running] == []
    ends = {one.label: one.state()["FinishedAt"] for one in [*others, agent]}
    assert max(ends.values()) == ends[agent.label]
    assert rollout.container("guest").exit_code == 65
