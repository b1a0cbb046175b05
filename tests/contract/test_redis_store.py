"""What is particular to Redis: the documented layout, expiry, garbage in the tables, passwords, and outages."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from maro.communication.observations import Notice, NoticeKind, PeerRecord
from maro.communication.redis_store import RedisStore
from maro.communication.registration import (
    JobDetails,
    Registration,
    Renewal,
    StoreRefusedError,
    StoreUnavailableError,
)
from maro.communication.settings import RedisAddress
from maro.testbed.redis_server import RedisServer
from tests.support.redis_servers import start_redis
from tests.support.waiting import eventually

MakeStore = Callable[..., RedisStore]


@pytest.fixture(params=["real", "embedded"])
def server(request: pytest.FixtureRequest) -> RedisServer:
    found: RedisServer = request.getfixturevalue(f"{request.param}_redis")
    return found


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with redis.Redis(*server.address, decode_responses=True, protocol=2) as made:
        yield made


@pytest.fixture
def make(group_name: str) -> Iterator[MakeStore]:
    made = []

    def new(server: RedisServer, lease_s: float = 60.0, **changes: Any) -> RedisStore:
        address = changes.get("address") or RedisAddress.parse(server.address)
        made.append(RedisStore(address, group_name, lease_s, ["actor", "learner"]))
        return made[-1]

    yield new
    for store in made:
        store.close()


def actor(name: str = "a", job: JobDetails | None = None) -> Registration:
    return Registration(name, "actor", {"7": "tcp://h:1", "2": "tcp://h:2"}, None, job)


def test_the_layout_is_the_documented_one(server: RedisServer, client: Any, make: MakeStore, group_name: str) -> None:
    """Names, types and contents of the keys; everything expires."""
    store = make(server, lease_s=10.0)
    record = store.register(actor())
    keys = {key: client.type(key) for key in client.keys(f"{group_name}:*")}
    assert keys == {
        f"{group_name}:actor": "hash",
        f"{group_name}:lease:a": "string",
        f"{group_name}:names:actor": "hash",
    }
    fields = json.loads(client.hget(f"{group_name}:actor", "a"))
    assert fields == {"7": "tcp://h:1", "2": "tcp://h:2", "incarnation": record.incarnation}
    assert client.get(f"{group_name}:lease:a") == str(record.incarnation)
    history = json.loads(client.hget(f"{group_name}:names:actor", "a"))
    assert history == {"incarnation": record.incarnation, "unclean_ends": 0, "left": False}
    assert 0 < client.pttl(f"{group_name}:lease:a") <= 10_000
    assert 0 < client.pttl(f"{group_name}:actor") <= 10_000
    assert 10_000 < client.pttl(f"{group_name}:names:actor") <= 240_000
    store.deregister(record, NoticeKind.LEFT)
    assert client.keys(f"{group_name}:*") == [f"{group_name}:names:actor"]
    assert json.loads(client.hget(f"{group_name}:names:actor", "a"))["left"] is True


def test_an_incarnation_is_the_servers_time(server: RedisServer, client: Any, make: MakeStore) -> None:
    """In microseconds; so it grows on, also where the server has lost everything."""
    before = time.time()
    record = make(server).register(actor())
    assert before - 5 < record.incarnation / 1_000_000 < time.time() + 5


def test_the_agent_finds_what_it_needs(server: RedisServer, client: Any, make: MakeStore, group_name: str) -> None:
    """The job's defaults are the first component's; each has its own beside them."""
    job = f"job-{group_name}"
    store = make(server)
    first = JobDetails(job, "container-a", True, 5, False)
    store.register(actor("a", first))
    store.register(actor("b", JobDetails(job, "container-b", False, 2, True)))
    assert client.hgetall(f"job:{job}:runtime_details") == {
        "rejoin:enable": "1",
        "rejoin:max_restart_times": "5",
        "is_remove_failed_container": "0",
        "a:rejoin:enable": "1",
        "a:rejoin:max_restart_times": "5",
        "a:is_remove_failed_container": "0",
        "b:rejoin:enable": "0",
        "b:rejoin:max_restart_times": "2",
        "b:is_remove_failed_container": "1",
    }
    containers = f"job:{job}:rejoin_component_name_to_container_name"
    assert client.hgetall(containers) == {"a": "container-a", "b": "container-b"}
    assert client.pttl(containers) > 0
    assert client.pttl(f"job:{job}:runtime_details") > 0


def test_nothing_of_a_group_stays(server: RedisServer, client: Any, make: MakeStore, group_name: str) -> None:
    """Some lease times after the last component is gone, without anybody cleaning up."""
    store = make(server, lease_s=0.05)
    store.register(actor("a", JobDetails(group_name, "c", True, 5, False)))
    left = store.register(actor("b"))
    store.deregister(left, NoticeKind.LEFT)
    assert client.keys(f"*{group_name}*")
    eventually(lambda: not client.keys(f"*{group_name}*"), 20, lambda: str(client.keys(f"*{group_name}*")))


RECORDS = {
    "no JSON": "{",
    "nothing": "",
    "a list": "[1]",
    "a number": "7",
    "no incarnation": '{"7": "tcp://h:1"}',
    "an incarnation that is text": '{"7": "tcp://h:1", "incarnation": "1"}',
    "one that is no number": '{"incarnation": NaN}',
    "one without end": '{"incarnation": Infinity}',
    "one that is true": '{"incarnation": true}',
    "one too large": json.dumps({"incarnation": 2**70}),
    "one below": '{"incarnation": -1}',
    "zero": '{"incarnation": 0}',
    "a lease too large": "9" * 30,
    "deep": "[" * 100_000,
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("entry", list(RECORDS))
def test_garbage_in_the_tables_hides_nobody(
    server: RedisServer, client: Any, make: MakeStore, group_name: str, entry: str
) -> None:
    """Of records, leases, histories and notices; the name can even be registered over it."""
    # Given garbage wherever something is kept
    store, watcher = make(server), make(server)
    good = store.register(actor("good"))
    watcher.subscribe()
    text = RECORDS[entry]
    for table in (f"{group_name}:actor", f"{group_name}:names:actor"):
        client.hset(table, "a", text)
    client.hset(f"{group_name}:actor", b"\xff", text)
    client.hset(f"{group_name}:actor", "x" * 300, '{"7": "tcp://h:1", "incarnation": 1}')
    client.set(f"{group_name}:lease:a", text)
    client.publish(f"{group_name}:events", text)
    fields = json.dumps({"kind": "join", "type": "actor", "name": "a", "incarnation": 2**70, "addresses": {}})
    client.publish(f"{group_name}:events", fields)
    # Then the good ones are read
    assert watcher.records("actor") == [good]
    assert watcher.leases(["good"]) == {"good": good.incarnation}
    # And the name can be taken, renewed and given back
    record = store.register(actor())
    assert 0 < record.incarnation < 2**63
    client.hset(f"{group_name}:actor", "a", text)
    assert store.renew(actor(), record) is Renewal.RESTORED
    assert store.renew(actor(), record) is Renewal.HELD
    store.deregister(record, NoticeKind.LEFT)
    got: list[Notice] = []

    def told() -> bool:
        got.extend(watcher.notices())
        return len(got) >= 3

    eventually(told)
    assert [notice.kind for notice in got] == [NoticeKind.JOIN, NoticeKind.REJOIN, NoticeKind.LEFT]


def test_a_contradictory_entry_is_no_lease(server: RedisServer, client: Any, make: MakeStore, group_name: str) -> None:
    """A record of one incarnation and a lease of another; an older history does no harm."""
    store = make(server)
    record = store.register(actor())
    client.hset(f"{group_name}:actor", "a", json.dumps({"7": "tcp://h:1", "incarnation": record.incarnation - 5}))
    client.hdel(f"{group_name}:names:actor", "a")
    assert store.leases(["a"])["a"] != store.records("actor")[0].incarnation
    assert store.renew(actor(), record) is Renewal.RESTORED
    assert store.records("actor") == [record]


def test_a_key_of_another_type_is_refused(server: RedisServer, client: Any, make: MakeStore, group_name: str) -> None:
    """The text has what Redis said."""
    client.set(f"{group_name}:actor", "mine", ex=60)
    with pytest.raises(StoreRefusedError, match="refuses"):
        make(server).records("actor")


def test_a_password_is_needed_and_the_right_one_will_do(make: MakeStore) -> None:
    """Asking again with a wrong one is of no use, and is told from a server that is away."""
    with start_redis(embedded=False, password="secret") as server:
        host, port = server.address
        record = make(server, address=RedisAddress(host, port, password="secret")).register(actor())
        assert record.incarnation
        for password in (None, "wrong"):
            with pytest.raises(StoreRefusedError, match=f"{host}:{port}") as caught:
                make(server, address=RedisAddress(host, port, password=password)).register(actor())
            assert "secret" not in str(caught.value)


@pytest.mark.parametrize("embedded", [False, True], ids=["real", "embedded"])
def test_a_server_that_is_away_is_an_error_until_it_is_back(make: MakeStore, embedded: bool) -> None:
    """Killed, and started again with nothing in it; every method says so, and works afterwards."""
    with start_redis(embedded=embedded) as server:
        store = make(server)
        store.subscribe()
        record = store.register(actor())
        server.kill()
        calls: list[Callable[[], Any]] = [
            lambda: store.register(actor()),
            lambda: store.renew(actor(), record),
            lambda: store.deregister(record, NoticeKind.LEFT),
            lambda: store.announce(Notice(NoticeKind.LEAVING, record)),
            lambda: store.records("actor"),
            lambda: store.leases(["a"]),
            lambda: store.remove_stale(record),
            store.outward_host,
            store.notices,
            store.subscribe,
        ]
        for call in calls:
            with pytest.raises(StoreUnavailableError, match="does not answer"):
                call()
        server.start()
        assert store.renew(actor(), record) is Renewal.RESTORED
        assert store.records("actor") == [record]
        store.subscribe()
        other = PeerRecord("b", "actor", 1, {})
        store.announce(Notice(NoticeKind.JOIN, other))
        assert eventually(store.notices) == [Notice(NoticeKind.JOIN, other)]


def test_a_server_that_stands_still_is_given_up_soon(make: MakeStore) -> None:
    """Connections stay, and nothing is answered; afterwards it goes on."""
    with start_redis() as server:
        store = make(server, lease_s=1.0)
        record = store.register(actor())
        server.pause()
        start = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            store.renew(actor(), record)
        assert time.monotonic() - start < 5
        server.resume()
        eventually(lambda: store.renew(actor(), record) in Renewal)
        assert store.records("actor") == [record]
