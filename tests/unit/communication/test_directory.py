"""The directory, step by step on a clock of its own: leases, trust, and what waits for the caller."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maro.communication import directory as module
from maro.communication.directory import Directory, Mailbox, Trust
from maro.communication.membership import Change, ChangeKind, Membership
from maro.communication.memory_store import MemoryServer, MemoryStore
from maro.communication.observations import Fenced, Notice, NoticeKind, Observation, PeerRecord, Sighting
from maro.communication.registration import Registration, Renewal

LEASE_S = 3.0
REREAD_S = 10.0


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """A server and the components that are registered there, on one clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.server = MemoryServer(self.clock)

    def component(self, name: str, expects: str = "actor", lease_s: float = LEASE_S) -> Component:
        return Component(self, name, expects, lease_s)


class Component:
    """A directory that is stepped by hand, and the membership that it feeds."""

    def __init__(self, world: World, name: str, expects: str, lease_s: float) -> None:
        self.clock = world.clock
        self.store = MemoryStore(world.server, "group", lease_s)
        self.directory = Directory(self.store, lease_s, REREAD_S, world.clock)
        self.membership = Membership(name, {expects: 0}, True, lease_s)
        kind = name.partition("_")[0]
        self.record = self.directory.register(Registration(name, kind, {"7": f"memory://{name}"}, None))
        self.directory._types.add(expects)
        self.due = world.clock.now

    def step(self) -> list[Change]:
        """One step, and what the membership makes of it."""
        self.due = self.clock.now + self.directory.step(self.clock.now)
        observations = self.directory.mailbox.take_all()
        return [change for observation in observations for change in self.membership.observe(observation)]

    def end(self) -> None:
        self.directory.stop(None)


def run(world: World, components: Iterable[Component], seconds: float, tick_s: float = 0.1) -> list[Change]:
    """Let time pass; each component steps when it is due or has news."""
    changes = []
    ends = world.clock.now + seconds
    while world.clock.now < ends:
        world.clock.now += tick_s
        for component in components:
            changes += component.step()
    return changes


def kinds(changes: list[Change]) -> list[ChangeKind]:
    return [change.kind for change in changes]


# Trust.


@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["held", "lost", "failed"])), max_size=50))
def test_trust_takes_a_whole_lease_of_answers(steps: list[tuple[int, str]]) -> None:
    """Answers without a break, with the own lease held, from a lease time before until now."""
    # Given the answers of a store as they may come, in quarters of a second
    trust, now, answers = Trust(LEASE_S), 0.0, []
    for pause, outcome in steps:
        now += pause / 4
        if outcome == "failed":
            trust.failed()
        else:
            trust.answered(now, outcome == "held")
        answers.append((now, outcome))
        # Then absence counts if and only if nothing in the last lease time speaks against it
        unbroken_since = None
        previous = None
        for at_s, what in answers:
            if what == "failed":
                unbroken_since = previous = None
                continue
            if what == "lost" or previous is None or at_s - previous > LEASE_S:
                unbroken_since = at_s
            previous = at_s
        expected = unbroken_since is not None and now - unbroken_since >= LEASE_S
        assert trust.absence_counts(now) == expected


# Mailbox.


def sighting(at_s: float, *records: PeerRecord, names: str = "") -> Sighting:
    return Sighting(at_s, True, records, dict.fromkeys(names))


def notice(name: str) -> Notice:
    return Notice(NoticeKind.JOIN, PeerRecord(name, "actor", 1, {}))


@pytest.fixture
def mailbox() -> Iterable[Mailbox]:
    box = Mailbox()
    yield box
    box.close()


def is_readable(mailbox: Mailbox) -> bool:
    return bool(select.select([mailbox], [], [], 0)[0])


def test_a_mailbox_is_readable_while_something_waits(mailbox: Mailbox) -> None:
    """A poll on its descriptor ends with the first item, and no sooner."""
    assert not is_readable(mailbox)
    for number in range(10_000):
        mailbox.put(notice(str(number)))
    assert is_readable(mailbox)
    assert len(mailbox.take_all()) == 10_000
    assert not is_readable(mailbox)
    assert mailbox.take_all() == []


def test_waiting_ends_with_an_item(mailbox: Mailbox) -> None:
    """And with the time."""
    mailbox.wait(0)
    mailbox.put(notice("a"))
    mailbox.wait(60)
    assert mailbox.take_all() == [notice("a")]


def test_of_readings_only_the_newest_is_kept(mailbox: Mailbox) -> None:
    """A caller that computes for minutes finds one, behind the notices that came before it."""
    mailbox.put(sighting(1, names="a"))
    mailbox.put(notice("b"))
    mailbox.put(sighting(2, names="ab"))
    mailbox.put(notice("c"))
    mailbox.put(sighting(3, names="ab"))
    assert mailbox.take_all() == [notice("b"), notice("c"), sighting(3, names="ab")]


def test_a_reading_that_knows_more_is_kept(mailbox: Mailbox) -> None:
    """Of leases only, or of fewer names: it does not stand for the older one."""
    full = sighting(1, PeerRecord("a", "actor", 1, {}), names="ab")
    mailbox.put(full)
    mailbox.put(sighting(2, names="ab"))
    mailbox.put(sighting(3, names="b"))
    assert [item.at_s for item in mailbox.take_all() if isinstance(item, Sighting)] == [1, 2, 3]


def test_notices_are_bounded(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are dropped, and it is said that some were."""
    monkeypatch.setattr(module, "_NOTICES_KEPT", 3)
    for name in "abcde":
        mailbox.put(notice(name))
    assert mailbox.overflowed
    assert mailbox.take_all() == [notice("c"), notice("d"), notice("e")]


# Directory.


def test_components_find_each_other_and_see_each_other_leave() -> None:
    """By notices, within a step."""
    # Given a learner that watches
    world = World()
    learner = world.component("learner_0")
    learner.step()
    # When an actor registers, then it joins
    actor = world.component("actor_0", "learner")
    assert kinds(learner.step()) == [ChangeKind.JOINED]
    # When it leaves, then it departs
    actor.directory.stop(NoticeKind.LEFT)
    assert kinds(learner.step()) == [ChangeKind.DEPARTED]
    learner.end()


def test_who_was_there_before_is_read_from_the_table() -> None:
    """The first step reads it."""
    world = World()
    actor, learner = world.component("actor_0", "learner"), world.component("learner_0")
    assert [change.peer.record for change in learner.step()] == [actor.record]
    for component in (actor, learner):
        component.end()


def test_who_dies_without_a_word_is_lost_within_two_leases() -> None:
    """Once its lease ran out; then its record is removed, and its name forgotten."""
    world = World()
    actor, learner = world.component("actor_0", "learner"), world.component("learner_0")
    run(world, [actor, learner], 2 * LEASE_S)
    died_at = world.clock.now
    while not learner.step():
        world.clock.now += 0.05
        assert world.clock.now - died_at < LEASE_S + LEASE_S / 3 + 0.2
    assert learner.membership.names("actor") == []
    run(world, [learner], 3 * LEASE_S + REREAD_S)
    assert learner.store.records("actor") == []
    run(world, [learner], 20 * LEASE_S)
    assert learner.directory._absent_since == {}
    for component in (actor, learner):
        component.end()


def test_a_newer_incarnation_fences_the_older() -> None:
    """The older stops, and its component is told."""
    world = World()
    old = world.component("actor_0", "learner")
    old.step()
    new = world.component("actor_0", "learner")
    world.clock.now += LEASE_S / 2
    old.step()
    assert old.membership.fenced_by == new.record.incarnation
    old.end()
    assert new.store.leases(["actor_0"]) == {"actor_0": new.record.incarnation}, "it left its successor alone"
    new.end()


def test_the_notice_of_a_successor_is_looked_into_at_once() -> None:
    """Without waiting for the next renewal; a false one changes nothing."""
    world = World()
    old = world.component("actor_0", "learner")
    old.step()
    lie = PeerRecord("actor_0", "actor", old.record.incarnation + 1, {})
    old.store.announce(Notice(NoticeKind.REJOIN, lie))
    old.step()
    old.step()
    assert old.membership.fenced_by is None

    new = world.component("actor_0", "learner")
    old.step()
    old.step()

    assert old.membership.fenced_by == new.record.incarnation
    old.end()
    new.end()


def test_more_notices_than_fit_are_made_up_for_by_a_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dropped stands in the table."""
    monkeypatch.setattr(module, "_NOTICES_KEPT", 2)
    world = World()
    learner = world.component("learner_0")
    learner.step()
    actors = [world.component(f"actor_{number}", "learner") for number in range(6)]
    learner.step()
    assert len(learner.membership.names("actor")) == 6
    for component in (learner, *actors):
        component.end()


outages = st.lists(
    st.tuples(
        st.sampled_from(["stopped", "restarted empty", "emptied"]),
        st.floats(0.05, 4 * LEASE_S),
        st.floats(0.05, 3 * LEASE_S),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40)
@given(outages, st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_no_outage_costs_anybody_a_peer(troubles: list[tuple[str, float, float]], phases: list[float]) -> None:
    """Stopped for however long, or back with nothing in it: everyone goes on, and registers again."""
    # Given a learner and two actors that renew at different times
    world = World()
    components = []
    for phase, name in zip(phases, ("learner_0", "actor_0", "actor_1"), strict=True):
        world.clock.now += phase
        components.append(world.component(name, "learner" if name.startswith("actor") else "actor"))
    run(world, components, 2 * LEASE_S)
    # When the server has any number of outages
    changes = []
    for kind, seconds, pause in troubles:
        world.server.available = kind == "emptied"
        changes += run(world, components, seconds)
        if kind != "stopped":
            world.server.restart_empty()
        world.server.available = True
        changes += run(world, components, pause)
    changes += run(world, components, 2 * LEASE_S)
    # Then nobody was lost, and all are registered
    assert ChangeKind.LOST not in kinds(changes)
    learner = components[0]
    assert learner.membership.names("actor") == ["actor_0", "actor_1"]
    held = learner.store.leases([component.record.name for component in components])
    assert held == {component.record.name: component.record.incarnation for component in components}
    for component in components:
        component.end()


class StallingStore(MemoryStore):
    """A store whose server, or whose caller, stands still for a while in the middle of a call."""

    stall_s = 0.0
    in_call = ""

    def _stall(self, call: str) -> None:
        if call == self.in_call and self.stall_s:
            clock = self._server.clock
            assert isinstance(clock, Clock)
            clock.now += self.stall_s
            self.stall_s = 0.0

    def renew(self, registration: Registration, record: PeerRecord) -> Renewal:
        renewal = super().renew(registration, record)
        self._stall("after renew")
        return renewal

    def leases(self, names: Iterable[str]) -> dict[str, int | None]:
        self._stall("before leases")
        return super().leases(names)

    def records(self, component_type: str) -> list[PeerRecord]:
        self._stall("before records")
        return super().records(component_type)


@settings(max_examples=40)
@given(
    st.sampled_from(["after renew", "before leases", "before records"]),
    st.floats(0.1, 3 * LEASE_S),
    st.integers(0, 40),
)
def test_standing_still_in_the_middle_of_a_call_costs_nobody_a_peer(call: str, stall_s: float, steps: int) -> None:
    """The whole group may have been paused meanwhile, leases and all, with no call that failed."""
    # Given a learner that trusts what it reads, and an actor
    world = World()
    actor, learner = world.component("actor_0", "learner"), world.component("learner_0")
    store = StallingStore(world.server, "group", LEASE_S)
    learner.directory._store = store
    learner.directory._subscribed = False
    run(world, [actor, learner], 2 * LEASE_S + REREAD_S + steps / 10)
    # When all stand still while the learner is in a call
    store.in_call, store.stall_s = call, stall_s
    changes: list[Change] = []
    while store.stall_s:
        changes += run(world, [actor, learner], 0.1)
    # Then nobody is lost, and the actor's real death is noticed afterwards
    changes += run(world, [actor, learner], 3 * LEASE_S)
    assert ChangeKind.LOST not in kinds(changes)
    assert kinds(run(world, [learner], 3 * LEASE_S)) == [ChangeKind.LOST]
    for component in (actor, learner):
        component.end()


def test_a_name_is_found_only_with_its_lease() -> None:
    """A record that somebody left behind is no address."""
    world = World()
    actor, learner = world.component("actor_0", "learner"), world.component("learner_0")
    assert learner.directory.find("actor", "actor_0") == actor.record
    assert learner.directory.find("actor", "actor_1") is None
    world.clock.now += LEASE_S + 1
    assert learner.directory.find("actor", "actor_0") is None
    for component in (actor, learner):
        component.end()


def test_stopping_leaves_nothing_open_and_no_error_behind() -> None:
    """Also where the server is gone by then."""
    world = World()
    learner = world.component("learner_0")
    learner.directory.start(["actor"])
    thread = next(thread for thread in threading.enumerate() if thread.name == "maro-directory-learner_0")
    world.server.available = False
    learner.directory.announce(NoticeKind.LEAVING)
    learner.directory.stop(NoticeKind.LEFT)
    assert not thread.is_alive()
    assert learner.directory.mailbox.fileno() == -1


def test_the_thread_delivers_and_wakes() -> None:
    """With the real clock: a registration elsewhere ends a wait on the mailbox."""
    server = MemoryServer()
    stores = [MemoryStore(server, "group", 1.0) for _ in range(2)]
    learner, actor = (Directory(store, 1.0, 10.0) for store in stores)
    learner.register(Registration("learner_0", "learner", {}, None))
    learner.start(["actor"])
    record = actor.register(Registration("actor_0", "actor", {}, None))
    seen: list[Observation] = []
    while not any(isinstance(item, Notice) and item.record == record for item in seen):
        if any(isinstance(item, Sighting) and record in item.records for item in seen):
            break
        learner.mailbox.wait(10)
        news = learner.mailbox.take_all()
        assert news, "nothing came for ten seconds"
        assert not any(isinstance(item, Fenced) for item in news)
        seen += news
    learner.stop(NoticeKind.LEFT)
    actor.stop(NoticeKind.LEFT)
    assert stores[0].records("learner") == []
