"""The agent with real containers: what fails comes back, what was stopped stays down, and code 65 ends everything.

That something does not come back is seen by what the agent did about somebody else afterwards: it takes events in turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest

from maro.testbed.compose_project import ServiceContainer
from tests.containers.agent_trial import INLINE, AgentTrial
from tests.containers.conftest import WITHIN_S
from tests.containers.delivery_trial import ContainerTrial
from tests.support.container_budget import containers
from tests.support.delivery_checker import delivery_faults
from tests.support.journal_watch import BOUND
from tests.support.journals import ACCEPTED, FINISHED, RECEIVED, REFUSED
from tests.support.waiting import eventually

MEMORY = -1
"""The code with which a station is told to use up its memory."""
StartTrial = Callable[..., AgentTrial]


@pytest.fixture
def trial(engine: docker.DockerClient, tmp_path: Path) -> Iterator[StartTrial]:
    """Makes trials that end with the test."""
    with ExitStack() as runs:

        def make(**options: Any) -> AgentTrial:
            names, agents = options.get("names", "abc"), options.get("agents", 1)
            starts = options.pop("starts", True)
            runs.enter_context(containers(len(names) + agents + 1))
            made = runs.enter_context(AgentTrial(engine, tmp_path, **options))
            if starts:
                made.up() if not options.get("fails") else made.project.up()
            return made

        yield make


def identity(container: ServiceContainer) -> dict[str, Any]:
    """What has to be the same of a container and the one in its place, by the engine's own words."""
    attributes = container.container.attrs
    config, host = attributes["Config"], attributes["HostConfig"]
    ours = ("maro.replaces", "maro.copied-files")
    networks = attributes["NetworkSettings"]["Networks"]
    return {
        "name": attributes["Name"],
        "hostname": config["Hostname"],
        "labels": {key: value for key, value in config["Labels"].items() if key not in ours},
        "image": attributes["Image"],
        "command": (config["Entrypoint"], config["Cmd"], config["User"], config["WorkingDir"]),
        "limits": (host["Memory"], host["CapDrop"], host["SecurityOpt"], host["Init"], host["RestartPolicy"]),
        "mounts": sorted((mount["Type"], mount["Source"], mount["Destination"]) for mount in attributes["Mounts"]),
        "networks": {
            name: sorted({*endpoint["Aliases"], config["Hostname"]} - {attributes["Id"][:12]} | {config["Hostname"]})
            for name, endpoint in networks.items()
        },
    }


@pytest.mark.parametrize("removal", [False, True], ids=["restarted", "replaced"])
def test_what_is_killed_comes_back_and_what_is_stopped_stays_down(trial: StartTrial, removal: bool) -> None:
    """`is_remove_failed_container` off and on: killed, killed twice, stopped."""
    # Given three components
    made = trial(removal=removal)
    was = identity(made.project.container("a"))
    assert made.inline_config_of("a") == INLINE

    # When one is killed
    before = made.kill("a")

    # Then its peers are told that it is gone, and it comes back: in its container, or in one just like it
    made.await_said("told the group trial that a is gone")
    after = made.await_back("a", before)
    made.await_all_together()
    assert (after.container.id == before[0]) is not removal
    assert identity(made.project.container("a")) == was
    assert made.inline_config_of("a") == INLINE
    assert made.restarts("a") == 1
    assert after.container.name in made.project.compose("ps", "--format", "{{.Name}}").split()
    assert '"peers"' in made.project.compose("logs", "a")
    (agent,) = made.agents()
    listed = json.loads(agent.container.exec_run(["maro", "ps", "--json"]).output)
    assert [(row["component"], row["state"], row["restarts_left"]) for row in listed] == [
        ("a", "running", 4),
        ("b", "running", 5),
        ("c", "running", 5),
    ]
    assert {row["container"] for row in listed} == {made.project.container(name).container.name for name in "abc"}

    # And when it is killed as soon as it runs again, it comes back once more
    killed = made.kill("a")
    made.await_back("a", killed)
    killed = made.kill("a")
    made.await_back("a", killed)
    made.await_all_together()
    assert made.restarts("a") == 3
    assert made.inline_config_of("a") == INLINE

    # When another one is stopped, and a third is killed after that
    stopped = made.project.container("b")
    stopped.container.stop(timeout=30)
    made.await_back("c", made.kill("c"))

    # Then the one that was stopped stays down, though the agent has dealt with what came later
    made.await_all_together("a", "c")
    made.await_said("b was asked to end")
    assert not stopped.is_running
    assert made.restarts("b") == 0


@pytest.mark.parametrize("removal", [False, True], ids=["restarted", "replaced"])
def test_a_spent_budget_and_code_64_give_a_component_up(trial: StartTrial, removal: bool) -> None:
    """Also in the eyes of an agent that was started again."""
    # Given components that may come back once
    made = trial(removal=removal, most=1)

    # When one is killed twice, and another one ends with code 64
    back = made.await_back("a", made.kill("a"))
    made.await_all_together()
    made.kill("a")
    made.await_said("a is given up")
    refusing = made.end("b", 64)
    made.await_said("b is given up")

    # Then both are down, and the third one is alone
    made.await_peers("c", set())
    assert not back.is_running
    assert refusing.exit_code == 64
    assert made.restarts("a") == 1

    # And an agent that is killed and comes back leaves it at that
    (agent,) = made.agents()
    made.crash(agent)
    eventually(lambda: agent.restarts == 1 and agent.log().count("taking stock") == 2, WITHIN_S, made.account)
    made.await_back("c", made.kill("c"))
    assert not back.is_running
    assert not refusing.is_running


def test_code_65_ends_every_container_of_the_job_and_the_agent_last(trial: StartTrial) -> None:
    """Redis too; and nobody is started again."""
    # Given a job
    made = trial()

    # When a component says that all are to end
    made.end("a", 65)

    # Then all have ended, the agent after everybody else, and in peace
    (agent,) = made.agents()
    assert agent.wait(WITHIN_S) == 0
    others = [container for container in made.project.containers() if container.service != "agent"]
    assert {container.label: container.is_running for container in others} == dict.fromkeys(
        ("a-1", "b-1", "c-1", "redis-1"), False
    )
    ends = {one.service: one.state()["FinishedAt"] for one in [*others, agent]}
    assert max(ends.values()) == ends["agent"]
    assert [made.project.container(name).exit_code for name in "abc"] == [65, 0, 0]
    assert all(agent.restarts == 0 for agent in made.agents())


@pytest.mark.parametrize("removal", [False, True], ids=["restarted", "replaced"])
def test_two_agents_do_what_one_would(trial: StartTrial, removal: bool) -> None:
    """Nothing is counted twice, and no container is there twice."""
    # Given two agents
    made = trial(removal=removal, names="ab", agents=2)

    # When a component is killed, three times
    for number in (1, 2, 3):
        made.await_back("a", made.kill("a"))
        made.await_all_together()
        # Then it is there once, and each time was counted once
        assert made.restarts("a") == number
    assert set(made.states()) == {"a-1", "b-1", "redis-1", "agent-1", "agent-2"}


@pytest.mark.parametrize("removal", [False, True], ids=["restarted", "replaced"])
def test_an_agent_that_is_killed_in_the_middle_finishes_when_it_is_back(trial: StartTrial, removal: bool) -> None:
    """Wherever it was: the component runs in the end, once, and was counted once."""
    # Given an agent, which its restart policy brings back
    made = trial(removal=removal, names="ab")
    (agent,) = made.agents()

    for number in (1, 2, 3):
        # When a component is killed, and the agent right after it
        killed = made.kill("a")
        made.crash(agent)

        # Then the agent comes back, and so does the component
        made.await_back("a", killed)
        eventually(lambda number=number: agent.log().count("taking stock") > number, WITHIN_S, made.account)
        made.await_all_together()
        assert made.restarts("a") == number


def test_a_component_that_fails_before_it_joins_is_restarted_as_its_labels_say(trial: StartTrial) -> None:
    """It never told its settings."""
    # Given a component that always fails, and may come back twice
    made = trial(names="ab", most=2, fails="a")

    # Then it is started twice more, and given up
    made.await_said("a is given up")
    failing = made.project.container("a")
    assert failing.log().count("RuntimeError: told to fail") == 3
    assert made.restarts("a") == 2


@pytest.mark.parametrize("removal", [False, True], ids=["restarted", "replaced"])
def test_what_is_killed_while_it_joins_comes_back(trial: StartTrial, removal: bool) -> None:
    """Registered, and waiting for its peers."""
    # Given a component whose peers are not there yet
    made = trial(removal=removal, names="ab", starts=False)
    made.project.up("redis", "agent", "a")
    first = eventually(lambda: made.incarnation("a"), WITHIN_S, made.account)

    # When it is killed, then it comes back, and joins anew
    made.await_back("a", made.kill("a"))
    eventually(lambda: made.incarnation("a") > first, WITHIN_S, made.account)
    assert made.restarts("a") == 1

    # And when its peers come, it has met them
    made.project.up("--no-recreate")
    made.await_all_together()


@pytest.mark.parametrize("removal", [False, True], ids=["restarted", "replaced"])
def test_with_the_message_cache_on_no_message_is_lost_by_kills_that_an_agent_answers(
    engine: docker.DockerClient, tmp_path: Path, removal: bool
) -> None:
    """They flow all the while, and the sender's peer is away now and then."""
    count = 3000
    with containers(4), ContainerTrial(engine, tmp_path, removal=removal) as run:
        # Given a stream of messages
        stream = ("stream", {"to": ["sink"], "count": count, "rate": 300})
        source = run.member("source", {"sink": 1}, stream, ("listen", {}))
        sink = run.member("sink", {"source": 1}, ("consume", {}))
        run.up()

        # When their receiver is killed again and again, and started by the agent each time
        for share in (0.2, 0.4, 0.6):
            run.await_count(RECEIVED, int(share * count), sink.name)
            sink.await_back(sink.kill_before_agent())
        assert run.journals.count(RECEIVED, sink.name) < count

        # Then all arrive, and what is promised for each is kept
        run.await_count(ACCEPTED, count, source.name)
        run.await_all_finished()
        run.end()
        run.assert_delivered()


@pytest.mark.parametrize("removal", [False, True], ids=["restarted", "replaced"])
def test_what_was_kept_for_a_peer_that_an_agent_gave_up_is_reported_and_nothing_else_is_lost(
    engine: docker.DockerClient, tmp_path: Path, removal: bool
) -> None:
    """The sender is told so when it sends to that one again; its other peer gets everything."""
    count = 3000
    with containers(5), ContainerTrial(engine, tmp_path, removal=removal, restarts=1) as run:
        # Given a stream to two receivers, each of which may be started once more
        stream = ("stream", {"to": ["spent", "steady"], "count": count, "rate": 300, "loses": True})
        source = run.member("source", {"sink": 2}, stream, ("listen", {}))
        spent, steady = (run.member("sink", {"source": 1}, ("consume", {}), name=name) for name in ("spent", "steady"))
        run.up()
        run.await_count(RECEIVED, 200, spent.name)

        # When one is killed twice, and the other one once
        spent.await_back(spent.kill_before_agent())
        steady.await_back(steady.kill_before_agent())
        run.await_more(RECEIVED, 200, spent.name)
        spent.kill_before_agent()

        # Then the sender is told so at its next message to that one, with how many are lost
        run.await_count(REFUSED, 1, source.name)
        (refused,) = (entry for entry in run.entries() if entry.kind == REFUSED)
        assert refused.peer == spent.name
        told = re.search(r"does not come back; (\d+) messages that were kept for it are dropped", refused.why)
        assert told is not None, refused.why
        # Some of them it may have finished, and died before it could say so.
        assert int(told[1]) >= unfinished_at(run, spent.name) > 0

        # And the other one finishes everything that was for it
        run.await_count(ACCEPTED, count - 1, source.name)
        eventually(lambda: unfinished_at(run, steady.name) == 0, WITHIN_S, lambda: f"an end of {run.journals}")
        faults = delivery_faults(run.entries(), bound=BOUND)
        assert [fault for fault in faults if fault.kind != "lost" or spent.name not in fault.text] == []


def unfinished_at(run: ContainerTrial, name: str) -> int:
    """How many messages were accepted for a component, and are not finished there."""
    entries = run.entries()
    accepted = {entry.message for entry in entries if entry.kind == ACCEPTED and entry.peer == name}
    return len(accepted - {entry.message for entry in entries if entry.kind == FINISHED and entry.name == name})


@pytest.mark.parametrize("removal", [False, True], ids=["restarted", "replaced"])
def test_with_redis_away_and_out_of_memory_and_the_job_taken_down(trial: StartTrial, removal: bool) -> None:
    """What is killed meanwhile is restarted, and counted once Redis is back; what `down` takes away stays away."""
    # Given a job whose Redis is down
    made = trial(names="ab", removal=removal)
    redis = made.project.container("redis")
    redis.container.stop(timeout=10)

    # When a component is killed
    killed = made.kill("a")

    # Then it is started all the same; and once Redis is back, all are together again, and it was counted
    made.await_back("a", killed)
    made.await_said("going on without Redis")
    redis.container.start()
    made.await_said("Redis answers again")
    made.await_all_together()
    eventually(lambda: made.restarts("a") == 1, WITHIN_S, made.account)

    # When one uses more memory than it may, then it is started again
    before = made.run_of("b")
    made.end("b", MEMORY)
    made.await_back("b", before)
    made.await_said("out of memory")
    made.await_all_together()

    # When Compose ends everything but the agent, then nothing is started again
    made.project.compose("rm", "--stop", "--force", "a", "b")
    made.await_said("b was asked to end")
    made.await_said("a was asked to end")
    assert set(made.states()) == {"redis-1", "agent-1"}
