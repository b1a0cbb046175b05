"""What every store of a group does: in memory, in a real Redis, and in the embedded one."""

from __future__ import annotations

import select
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from maro.communication.memory_store import MemoryServer, MemoryStore
from maro.communication.observations import Notice, NoticeKind, PeerRecord
from maro.communication.redis_store import RedisStore
from maro.communication.registration import GroupStore, Registration, Renewal, StoreUnavailableError, SupersededError
from maro.communication.settings import RedisAddress
from maro.utils.exception.communication_exception import RejoinBudgetError
from tests.support.waiting import eventually

LONG_S = 60.0
SHORT_S = 0.2
LESS_SHORT_S = 1.5
"""Where something has to be done before it is over."""


class Stores:
    """Makes stores of one kind, and closes them with the test."""

    def __init__(self, kind: str, group: str, address: Any) -> None:
        self.kind = kind
        self.group = group
        self._address = address
        self._now = 1000.0
        self._server = MemoryServer(lambda: self._now)
        self._made: list[GroupStore] = []

    def __call__(self, lease_s: float = LONG_S, group: str | None = None) -> GroupStore:
        store: GroupStore
        if self.kind == "memory":
            store = MemoryStore(self._server, group or self.group, lease_s)
        else:
            store = RedisStore(RedisAddress.parse(self._address), group or self.group, lease_s, ["actor", "learner"])
        self._made.append(store)
        return store

    def wait_for_expiry(self, store: GroupStore, name: str) -> None:
        """Let time pass until the lease of a name has run out."""
        self._now += LESS_SHORT_S
        eventually(lambda: store.leases([name])[name] is None, what=f"the lease of {name} to run out")

    def close(self) -> None:
        for store in self._made:
            store.close()


@pytest.fixture(params=["memory", "real", "embedded"])
def stores(request: pytest.FixtureRequest, group_name: str) -> Iterator[Stores]:
    kind = request.param
    address = None if kind == "memory" else request.getfixturevalue(f"{kind}_redis").address
    made = Stores(kind, group_name, address)
    yield made
    made.close()


def actor(name: str = "a", most: int | None = None, place: str = "tcp://h:1") -> Registration:
    return Registration(name, "actor", {"7": place}, most)


def drain(store: GroupStore, count: int) -> list[Notice]:
    """The next notices; there have to be as many, and no more."""
    got: list[Notice] = []

    def all_there() -> bool:
        got.extend(store.notices())
        return len(got) >= count

    eventually(all_there, what=lambda: f"{count} notices; got {got}")
    assert len(got) == count
    return got


def test_registering_makes_record_lease_and_notice(stores: Stores) -> None:
    """Seen by everybody in the group, and by nobody in another."""
    watcher, store, other = stores(), stores(), stores(group=f"{stores.group}-other")
    watcher.subscribe()
    other.subscribe()
    record = store.register(actor())
    assert (record.name, record.component_type, record.addresses) == ("a", "actor", {"7": "tcp://h:1"})
    assert record.incarnation > 0
    assert watcher.records("actor") == [record]
    assert watcher.leases(["a", "b"]) == {"a": record.incarnation, "b": None}
    assert drain(watcher, 1) == [Notice(NoticeKind.JOIN, record)]
    assert watcher.notices() == []
    assert watcher.records("learner") == []
    assert (other.records("actor"), other.leases(["a"]), other.notices()) == ([], {"a": None}, [])


def test_no_names_need_no_question(stores: Stores) -> None:
    """A component that watches nobody asks for no lease."""
    assert stores().leases([]) == {}


def test_a_second_start_takes_the_name_over(stores: Stores) -> None:
    """Younger, whether the first one left, died, or still runs; the older can do nothing to it."""
    watcher, first, second = stores(), stores(), stores()
    watcher.subscribe()
    old = first.register(actor(place="tcp://old:1"))
    new = second.register(actor(place="tcp://new:1"))
    assert new.incarnation > old.incarnation
    assert [notice.kind for notice in drain(watcher, 2)] == [NoticeKind.JOIN, NoticeKind.REJOIN]
    # When the older one renews, leaves, and is cleaned up after
    with pytest.raises(SupersededError) as caught:
        first.renew(actor(place="tcp://old:1"), old)
    assert caught.value.newer == new.incarnation
    for kind in (NoticeKind.LEFT, NoticeKind.GONE):
        first.deregister(old, kind)
    first.remove_stale(old)
    # Then the newer one is there as before, and nobody was told anything
    assert watcher.records("actor") == [new]
    assert watcher.leases(["a"]) == {"a": new.incarnation}
    assert watcher.notices() == []
    assert second.renew(actor(place="tcp://new:1"), new) is Renewal.HELD


@pytest.mark.parametrize("kind", [NoticeKind.LEFT, NoticeKind.GONE])
def test_deregistering_removes_record_and_lease_and_says_how(stores: Stores, kind: NoticeKind) -> None:
    """The next start is a rejoin, and younger although the record is gone."""
    watcher, store = stores(), stores()
    record = store.register(actor())
    watcher.subscribe()
    store.deregister(record, kind)
    assert drain(watcher, 1) == [Notice(kind, record)]
    assert (watcher.records("actor"), watcher.leases(["a"])) == ([], {"a": None})
    again = store.register(actor())
    assert again.incarnation > record.incarnation
    assert drain(watcher, 1) == [Notice(NoticeKind.REJOIN, again)]


def test_deregistering_twice_does_nothing_new(stores: Stores) -> None:
    """To the one that came in between, in particular."""
    store = stores()
    record = store.register(actor())
    store.deregister(record, NoticeKind.LEFT)
    successor = stores().register(actor())
    store.deregister(record, NoticeKind.LEFT)
    assert store.records("actor") == [successor]


def test_a_lease_runs_out_and_is_restored(stores: Stores) -> None:
    """By the same incarnation, which the group is told."""
    watcher, store = stores(), stores(SHORT_S)
    record = store.register(actor())
    watcher.subscribe()
    stores.wait_for_expiry(watcher, "a")
    assert store.renew(actor(), record) is Renewal.RESTORED
    assert (watcher.records("actor"), watcher.leases(["a"])) == ([record], {"a": record.incarnation})
    assert drain(watcher, 1) == [Notice(NoticeKind.REJOIN, record)]


def test_renewing_keeps_the_lease(stores: Stores) -> None:
    """With nothing to tell."""
    watcher, store = stores(), stores()
    watcher.subscribe()
    record = store.register(actor())
    for _ in range(3):
        assert store.renew(actor(), record) is Renewal.HELD
    assert drain(watcher, 1)[0].kind is NoticeKind.JOIN
    assert watcher.notices() == []


def test_a_record_that_was_removed_is_restored(stores: Stores) -> None:
    """By the next renewal: somebody took it for stale."""
    store = stores(SHORT_S)
    record = store.register(actor())
    stores.wait_for_expiry(store, "a")
    store.remove_stale(record)
    assert store.records("actor") == []
    assert store.renew(actor(), record) is Renewal.RESTORED
    assert store.records("actor") == [record]


def test_only_a_stale_record_is_removed(stores: Stores) -> None:
    """Not one with a lease, nor one that changed meanwhile."""
    short, store = stores(LESS_SHORT_S), stores()
    dead = short.register(actor("dead"))
    keeper = store.register(actor("alive"))  # keeps the table
    stores.wait_for_expiry(store, "dead")
    assert {record.name for record in store.records("actor")} == {"dead", "alive"}
    store.remove_stale(keeper)
    store.remove_stale(PeerRecord("dead", "actor", dead.incarnation, {"7": "tcp://elsewhere:1"}))
    assert len(store.records("actor")) == 2
    store.remove_stale(dead)
    assert store.records("actor") == [keeper]


def test_a_budget_of_rejoins_is_kept(stores: Stores) -> None:
    """Only ends without a clean leave use it up; then the name is given up, and the group is told each time."""
    watcher, store = stores(), stores()
    record = store.register(actor(most=1))
    store.deregister(record, NoticeKind.LEFT)
    record = store.register(actor(most=1))
    store.deregister(record, NoticeKind.GONE)
    record = store.register(actor(most=1))
    watcher.subscribe()
    for _ in range(2):
        with pytest.raises(RejoinBudgetError, match="'a'"):
            store.register(actor(most=1))
    told = drain(watcher, 2)
    assert [notice.kind for notice in told] == [NoticeKind.GIVEN_UP] * 2
    assert {notice.record.incarnation for notice in told} == {record.incarnation}
    assert store.register(actor(most=2)).incarnation > record.incarnation


def test_what_is_announced_is_heard_by_subscribers(stores: Stores) -> None:
    """Whoever subscribed before, each of them once."""
    store, early, late = stores(), stores(), stores()
    record = PeerRecord("a", "actor", 7, {"7": "tcp://h:1", "2": "tcp://h:2"})
    early.subscribe()
    store.announce(Notice(NoticeKind.LEAVING, record))
    late.subscribe()
    late.subscribe()
    assert drain(early, 1) == [Notice(NoticeKind.LEAVING, record)]
    store.announce(Notice(NoticeKind.LEFT, record))
    for subscriber in (early, late):
        assert drain(subscriber, 1) == [Notice(NoticeKind.LEFT, record)]
        assert subscriber.notices() == []


def test_a_descriptor_wakes_whoever_waits_for_notices(stores: Stores) -> None:
    """Where there is one; else notices are asked for."""
    watcher, store = stores(), stores()
    assert watcher.notice_fd() is None
    watcher.subscribe()
    fd = watcher.notice_fd()
    if fd is None:
        assert stores.kind == "memory"
        return
    watcher.notices()
    store.announce(Notice(NoticeKind.LEFT, PeerRecord("a", "actor", 1, {})))
    assert select.select([fd], [], [], 10)[0]
    assert len(drain(watcher, 1)) == 1


def test_without_a_subscription_there_are_no_notices(stores: Stores) -> None:
    """That is a fault of the connection, which is made again."""
    with pytest.raises(StoreUnavailableError):
        stores().notices()


def test_many_may_register_at_the_same_time(stores: Stores) -> None:
    """Sixteen names from as many threads; nobody gets in another's way."""
    watcher = stores()
    watcher.subscribe()
    each = [stores() for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        records = list(pool.map(lambda number: each[number].register(actor(f"a{number}")), range(16)))
    assert {record.name for record in watcher.records("actor")} == {f"a{number}" for number in range(16)}
    leases = watcher.leases([record.name for record in records])
    assert leases == {record.name: record.incarnation for record in records}
    assert {notice.record.name for notice in drain(watcher, 16)} == set(leases)


def test_of_many_that_take_the_same_name_the_youngest_has_it(stores: Stores) -> None:
    """All get incarnations of their own; record and lease are of the same one."""
    each = [stores() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        records = list(pool.map(lambda store: store.register(actor()), each))
    incarnations = [record.incarnation for record in records]
    assert len(set(incarnations)) == 6
    assert each[0].leases(["a"]) == {"a": max(incarnations)}
    assert [record.incarnation for record in each[0].records("actor")] == [max(incarnations)]
    superseded = 0
    for store, record in zip(each, records, strict=True):
        try:
            store.renew(actor(), record)
        except SupersededError:
            superseded += 1
    assert superseded == 5


def test_the_way_to_the_store_has_an_address(stores: Stores) -> None:
    """Which peers on this machine can connect to."""
    assert stores().outward_host() == "127.0.0.1"
