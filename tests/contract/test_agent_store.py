"""What the agent keeps in Redis: the job's keys, and registrations that it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from maro.agent.facts import Known, RejoinSettings
from maro.agent.job_store import LOCK_S, JobStore, agent_is_in_charge
from maro.communication.observations import NoticeKind
from maro.communication.redis_store import RedisStore
from maro.communication.registration import JobDetails, Registration, StoreUnavailableError
from maro.communication.settings import RedisAddress
from maro.testbed.redis_server import RedisServer
from tests.support.programs import ROOT
from tests.support.waiting import eventually


@pytest.fixture(params=["real", "embedded"])
def address(request: pytest.FixtureRequest) -> RedisAddress:
    server: RedisServer = request.getfixturevalue(f"{request.param}_redis")
    return RedisAddress.parse(server.address)


@pytest.fixture
def agents(address: RedisAddress, group_name: str) -> Iterator[tuple[JobStore, JobStore]]:
    """Two agents of the same job."""
    made = JobStore(address, group_name, "one"), JobStore(address, group_name, "two")
    yield made
    for store in made:
        store.close()


@pytest.fixture
def group(address: RedisAddress, group_name: str) -> Iterator[RedisStore]:
    """What a component of the same group uses."""
    store = RedisStore(address, group_name, 60.0, ["actor"])
    yield store
    store.close()


def an_actor(job: str) -> Registration:
    return Registration("a", "actor", {"7": "tcp://h:1"}, 7, JobDetails(job, "container-a", True, 7, True))


def test_what_a_component_has_published_is_known(
    agents: tuple[JobStore, JobStore], group: RedisStore, group_name: str
) -> None:
    """A Proxy with JOB_ID and CONTAINER_NAME publishes its settings when it registers."""
    assert agents[0].known("a") == Known()
    group.register(an_actor(group_name))
    assert agents[0].known("a").settings == RejoinSettings(True, 7, True)
    assert agents[0].known("b").settings is None


def test_what_is_published_under_a_name_that_only_code_knows_is_found_by_the_container(
    agents: tuple[JobStore, JobStore], group: RedisStore, group_name: str
) -> None:
    """It is noted along with the registration, what the container is called."""
    group.register(an_actor(group_name))
    assert agents[0].names_in("container-a") == ["a"]
    assert agents[0].names_in("container-b") == []
    assert agents[0].known("named by its container", "container-a").settings == RejoinSettings(True, 7, True)
    assert agents[0].known("named by its container", "container-a").names == ("a",)
    assert agents[0].known("a", "container-a").names == ()
    # And a container that is called nothing has nobody
    assert agents[0].names_in("") == []


def test_restarts_are_counted_once_however_many_agents_count(agents: tuple[JobStore, JobStore]) -> None:
    """The greatest number stays."""
    for store in agents:
        store.count_restart("a", "run", 1)
    agents[0].count_restart("a", "next", 2)
    agents[1].count_restart("a", "next", 1)
    assert agents[1].known("a") == Known(restarts=2, counted_run="next")


def test_what_stays_down_is_kept(agents: tuple[JobStore, JobStore]) -> None:
    """For an agent that is started again."""
    agents[0].close_component("a", "run", given_up=True)
    assert agents[1].known("a") == Known(closed_run="run", given_up=True)


def test_the_end_of_the_job_is_kept_until_it_is_done(agents: tuple[JobStore, JobStore]) -> None:
    """Every agent sees it."""
    assert agents[1].kill_all() is None
    agents[0].set_kill_all("why")
    assert agents[1].kill_all() == "why"
    agents[1].clear_kill_all()
    assert agents[0].kill_all() is None


def test_one_agent_at_a_time_restarts_a_component(agents: tuple[JobStore, JobStore]) -> None:
    """And may take its time over it, asking again; the other is told when to look again."""
    assert agents[0].lock("a") == 0
    assert agents[0].lock("a") == 0
    assert 0 < agents[1].lock("a") <= LOCK_S
    agents[1].unlock("a")
    assert agents[1].lock("a") > 0
    agents[0].unlock("a")
    assert agents[1].lock("a") == 0


def test_the_lock_of_an_agent_that_is_no_more_is_free_before_long(agents: tuple[JobStore, JobStore]) -> None:
    """Without anybody's doing."""
    assert agents[0].lock("a") == 0
    eventually(lambda: agents[1].lock("a") == 0, 30, "the lock is free")
    assert agents[0].lock("a") > 0


def test_a_dead_components_registration_is_ended_and_a_successors_is_not(
    agents: tuple[JobStore, JobStore], group: RedisStore, group_name: str
) -> None:
    """By its incarnation."""
    # Given a registration that was read, and then a successor's
    group.register(an_actor(group_name))
    old, _ = agents[0].registration(group_name, "actor", "a")
    assert old is not None
    new = group.register(an_actor(group_name))
    # When the old one is ended, Then the new one stays
    agents[0].deregister(group_name, old, NoticeKind.GONE)
    assert group.records("actor") == [new]
    # And when the new one is, nothing stays but what is remembered of it
    agents[0].deregister(group_name, new, NoticeKind.GONE)
    assert group.records("actor") == []
    assert group.leases(["a"]) == {"a": None}
    found, has_left = agents[0].registration(group_name, "actor", "a")
    assert found is not None
    assert (found.incarnation, found.addresses, has_left) == (new.incarnation, {}, False)


def test_components_can_ask_whether_an_agent_restarts_them(agents: tuple[JobStore, JobStore]) -> None:
    """One that leaves restart policies alone does not say so."""
    agents[0].renew()
    assert not agents[1].has_agent_in_charge()
    agents[0].renew(takes_over=True)
    assert agents[1].has_agent_in_charge()


@pytest.mark.parametrize(("takes_over", "code"), [(False, 0), (True, 64)])
def test_code_64_stays_64_where_an_agent_is_in_charge(
    agents: tuple[JobStore, JobStore],
    address: RedisAddress,
    group_name: str,
    tmp_path: Path,
    takes_over: bool,
    code: int,
) -> None:
    """And is 0 for a restart policy."""
    # Given a job with an agent
    agents[0].renew(takes_over=takes_over)
    # When a component of it asks not to be restarted
    program = tmp_path / "actor.py"
    program.write_text("raise SystemExit(64)")
    variables = {"MARO_EXIT_ZERO_FOR_DO_NOT_RESTART": "1", "JOB_ID": group_name, "MARO_REDIS": str(address)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "maro", "component", str(program)]
    # Then its code says so in the words of who restarts it
    assert subprocess.run(command, env=environment, timeout=60, check=False).returncode == code


def test_without_an_answer_no_agent_is_in_charge() -> None:
    """Nothing is restarted either way."""
    assert not agent_is_in_charge("job", "localhost:1")
    assert not agent_is_in_charge("job", "localhost:no port")


def test_everything_expires(agents: tuple[JobStore, JobStore], address: RedisAddress, group_name: str) -> None:
    """Nothing stays for long after the last agent."""
    agents[0].count_restart("a", "run", 1)
    agents[0].close_component("a", "run", given_up=False)
    agents[0].set_kill_all("why")
    agents[0].lock("a")
    agents[0].renew(takes_over=True)
    with redis.Redis(address.host, address.port, protocol=2) as client:
        keys = client.keys(f"job:{group_name}:*")
        assert len(keys) == 5
        assert all(client.pttl(key) > 0 for key in keys)


def test_a_redis_that_is_not_there_is_said_so() -> None:
    """By the one error that the agent goes on after."""
    store = JobStore(RedisAddress.parse("localhost:1"), "job", "one")
    with pytest.raises(StoreUnavailableError, match="localhost:1"):
        store.known("a")
    store.close()
