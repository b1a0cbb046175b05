"""What holds of a membership whatever is observed, in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from maro.communication.membership import ChangeKind, Membership, PeerState
from maro.communication.observations import Notice, NoticeKind, Observation, PeerRecord, Sighting

LEASE_S = 5.0
TYPES = {
    "a0": ["actor"] * 4,
    "a1": ["actor"] * 4,
    "c0": ["critic"] * 4,
    "x0": ["stranger"] * 4,
    "mixed": ["actor", "stranger", "critic", "actor"],
}
"""The type of each incarnation of a name."""
NAMES = st.sampled_from(sorted(TYPES))
INCARNATIONS = st.integers(1, 4)


def record(name: str, incarnation: int) -> PeerRecord:
    return PeerRecord(name, TYPES[name][incarnation - 1], incarnation, {"7": f"tcp://{name}:{incarnation}"})


records = st.builds(record, NAMES, INCARNATIONS)
notices = st.builds(Notice, st.sampled_from(NoticeKind), records)
partial = st.builds(
    lambda seen, leases, counts: (counts, tuple({r.name: r for r in seen}.values()), leases),
    st.lists(records, max_size=4),
    st.dictionaries(NAMES, st.none() | INCARNATIONS),
    st.booleans(),
)
hearing = st.tuples(NAMES, st.integers(0, 4))
adoption = st.tuples(st.just("adopt"), records)
# What a reading shows when records and leases agree: the incarnation of each name, or that it is gone.
worlds = st.fixed_dictionaries({name: st.none() | INCARNATIONS for name in TYPES})


def names_of(membership: Membership) -> dict[str, list[str]]:
    return {kind: membership.names(kind) for kind in membership.types}


def full_sighting(at_s: float, world: dict[str, int | None]) -> Sighting:
    held = tuple(record(name, incarnation) for name, incarnation in world.items() if incarnation)
    return Sighting(at_s, True, held, world)


def step(membership: Membership, number: int, happening: Any) -> None:
    """Let something happen, and hold the outcome against what may follow from anything."""
    before = {name: (peer.incarnation, peer.state) for name, peer in membership.peers.items()}
    names, version = names_of(membership), membership.version
    changes = []
    if isinstance(happening, Notice):
        changes = membership.observe(happening)
    elif len(happening) == 3:
        changes = membership.observe(Sighting(float(number), *happening))
    elif happening[0] == "adopt":
        changes = membership.adopt(happening[1])
    else:
        name, incarnation = happening
        heard = membership.hear(name, TYPES[name][incarnation - 1], incarnation)
        assert heard or 0 < incarnation < membership.peers[name].incarnation
    assert (names != names_of(membership)) == (version != membership.version)
    for name, (incarnation, state) in before.items():
        peer = membership.peers[name]
        assert peer.incarnation >= incarnation
        if state is PeerState.LEFT and peer.incarnation == incarnation:
            assert peer.state is PeerState.LEFT, "only a new start brings back who left"
    for change in changes:
        assert (change.kind is ChangeKind.JOINED) == (change.peer.name not in before)
        if change.kind is ChangeKind.REJOINED:
            assert change.peer.incarnation > before[change.peer.name][0]
    for kind, present in names_of(membership).items():
        assert present == sorted(present)
        assert membership.count(kind) == len(present)
        assert all(membership.is_present(name) and membership.type_of(name) == kind for name in present)
    assert membership.incarnations == {name: peer.incarnation for name, peer in membership.peers.items()}


happenings = st.lists(notices | partial | hearing | adoption, max_size=30)


@settings(max_examples=150)
@given(happenings, worlds)
def test_with_rejoin_a_trusted_reading_says_who_is_present(steps: list[Any], world: dict[str, int | None]) -> None:
    """Present is who holds a lease, but for older incarnations and those that said they leave."""
    # Given anything that may have happened
    membership = Membership("me", {"actor": 2, "critic": 1}, True, LEASE_S)
    for number, happening in enumerate(steps):
        step(membership, number, happening)
    known = {name: (peer.incarnation, peer.state, peer.leaving) for name, peer in membership.peers.items()}
    before = {name for names in names_of(membership).values() for name in names}
    # When everything is read at a time when absences count, long after anybody was heard
    membership.heard.clear()
    membership.observe(full_sighting(1000.0 + len(steps), world))
    # Then the names are those that hold a lease
    for name, incarnation in world.items():
        newest, state, leaving = known.get(name, (0, PeerState.AWAY, False))
        if incarnation is not None and incarnation < newest:  # an old reading: no news
            assert (name in before) == membership.is_present(name), name
            continue
        stays = incarnation is not None and incarnation == newest and (state is PeerState.LEFT or leaving)
        for kind, names in names_of(membership).items():
            wanted = incarnation is not None and not stays and TYPES[name][incarnation - 1] == kind
            assert (name in names) == wanted, (name, kind)


@settings(max_examples=100)
@given(happenings)
def test_without_rejoin_names_only_ever_appear(steps: list[Any]) -> None:
    """Who was there at the start is an error when it dies, not a name less; never more than expected."""
    membership = Membership("me", {"actor": 2, "critic": 1}, False, LEASE_S)
    chosen: dict[str, set[str]] = {"actor": set(), "critic": set()}
    for number, happening in enumerate(steps):
        step(membership, number, happening)
        for kind, names in names_of(membership).items():
            assert len(names) <= {"actor": 2, "critic": 1}[kind]
            assert chosen[kind] <= set(names)
            chosen[kind] = set(names)


@settings(max_examples=100)
@given(happenings, st.lists(partial, max_size=10))
def test_no_reading_that_does_not_count_loses_anybody(steps: list[Any], readings: list[Any]) -> None:
    """During the time of grace after an outage nobody is declared gone for want of a lease."""
    membership = Membership("me", {"actor": 2, "critic": 1}, True, LEASE_S)
    for number, happening in enumerate(steps):
        step(membership, number, happening)
    for number, (_, seen, leases) in enumerate(readings):
        changes = membership.observe(Sighting(1000.0 + number, False, seen, leases))
        assert ChangeKind.LOST not in [change.kind for change in changes]


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40))
def test_who_is_heard_at_least_once_a_lease_is_never_lost(steps: list[tuple[int, bool]]) -> None:
    """A message is a sign of life that needs no store."""
    # Given a peer whose lease is missing for ever
    membership = Membership("me", {"actor": 1}, True, LEASE_S)
    membership.observe(full_sighting(0.0, {"a0": 1}))
    membership.hear("a0", "actor", 1)
    observation: Observation
    now, last_heard = 0.0, None
    for pause, heard in steps:
        now += pause / 4
        if heard:
            membership.hear("a0", "actor", 1)
        observation = Sighting(now, True, (), {"a0": None})
        if heard or last_heard is None:
            last_heard = now
        # When it is looked at, then it is there as long as it was heard within the last lease time
        membership.observe(observation)
        if not membership.is_present("a0"):
            assert now - last_heard >= LEASE_S
            return
        assert now - last_heard < LEASE_S
