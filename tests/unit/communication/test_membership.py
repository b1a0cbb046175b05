"""The table of peer states: what each observation does to a peer, one by one."""

from __future__ import annotations

import pytest

from maro.communication.membership import Change, ChangeKind, Membership, PeerState
from maro.communication.observations import Fenced, Notice, NoticeKind, PeerRecord, Sighting
from maro.communication.peers_name import PeersName

LEASE_S = 5.0
LONG_AGO_S = 1000.0


def record(name: str, incarnation: int = 1, kind: str = "actor") -> PeerRecord:
    return PeerRecord(name, kind, incarnation, {"7": f"tcp://{name}:{incarnation}"})


def sight(*records: PeerRecord, counts: bool = True, at_s: float = LONG_AGO_S, **absent: None) -> Sighting:
    """A reading in which each record holds its lease, and the names in `absent` hold none."""
    return Sighting(at_s, counts, records, {**{r.name: r.incarnation for r in records}, **absent})


def notice(kind: NoticeKind, about: PeerRecord) -> Notice:
    return Notice(kind, about)


def kinds(changes: list[Change]) -> list[ChangeKind]:
    return [change.kind for change in changes]


def group(*names: str, enable_rejoin: bool = True, expected: int | None = None) -> Membership:
    """A learner's view of actors that are all there."""
    wanted = len(names) if expected is None else expected
    membership = Membership("learner", {"actor": wanted}, enable_rejoin, LEASE_S)
    membership.observe(sight(*map(record, names)))
    return membership


def test_a_peer_joins_when_record_and_lease_agree() -> None:
    """A record alone may be what a dead one left behind."""
    membership = group(expected=1)
    unheld = Sighting(0, True, (record("a"),), {"a": None})
    other = Sighting(0, True, (record("a", 1),), {"a": 2})
    assert membership.observe(unheld) == []
    assert membership.observe(other) == []
    assert membership.missing() == {"actor": 1}
    assert kinds(membership.observe(sight(record("a")))) == [ChangeKind.JOINED]
    assert (membership.names("actor"), membership.missing()) == (["a"], {})


def test_a_join_notice_is_enough() -> None:
    """News travel faster than readings."""
    membership = group(expected=1)
    assert kinds(membership.observe(notice(NoticeKind.JOIN, record("a")))) == [ChangeKind.JOINED]


def test_without_rejoin_the_first_by_name_are_chosen_and_stay() -> None:
    """All of them at once, when there are enough; whoever comes later is a stranger."""
    membership = group("d", enable_rejoin=False, expected=2)
    assert membership.names("actor") == []
    changes = membership.observe(sight(record("c"), record("b"), record("d")))
    assert [change.peer.name for change in changes] == ["b", "c"]
    membership.observe(sight(record("a"), record("b"), record("c"), record("d")))
    membership.observe(sight(b=None, c=None))
    assert membership.names("actor") == ["b", "c"]
    assert membership.peers["b"].state is PeerState.AWAY


def test_with_rejoin_more_join_as_they_come() -> None:
    """The number expected is what the start waits for."""
    membership = group("a", expected=1)
    assert kinds(membership.observe(sight(record("a"), record("b")))) == [ChangeKind.JOINED]
    assert membership.names("actor") == ["a", "b"]


def test_oneself_is_no_peer() -> None:
    """Also where components of one's own type are expected."""
    membership = Membership("a", {"actor": 1}, True, LEASE_S)
    membership.observe(sight(record("a"), record("b")))
    assert membership.names("actor") == ["b"]


@pytest.mark.parametrize("kind", [NoticeKind.LEAVING, NoticeKind.GONE])
def test_an_announced_end_takes_a_peer_away(kind: NoticeKind) -> None:
    """At once; a process that ended is told from one that is still sending."""
    membership = group("a", "b")
    changes = membership.observe(notice(kind, record("a")))
    assert kinds(changes) == [ChangeKind.LOST]
    assert changes[0].process_ended == (kind is NoticeKind.GONE)
    assert (membership.names("actor"), membership.peers["a"].state) == (["b"], PeerState.AWAY)
    assert membership.peers["a"].reason


@pytest.mark.parametrize("kind", [NoticeKind.LEFT, NoticeKind.GIVEN_UP])
def test_who_left_for_good_stays_away_until_started_anew(kind: NoticeKind) -> None:
    """Its own old lease does not bring it back, a newer incarnation does."""
    membership = group("a")
    assert kinds(membership.observe(notice(kind, record("a")))) == [ChangeKind.DEPARTED]
    assert membership.observe(notice(kind, record("a"))) == [], "told once"
    assert membership.observe(sight(record("a"))) == []
    assert membership.peers["a"].state is PeerState.LEFT
    assert kinds(membership.observe(notice(NoticeKind.REJOIN, record("a", 2)))) == [ChangeKind.REJOINED]
    assert membership.names("actor") == ["a"]


def test_who_dies_while_leaving_is_lost_for_good() -> None:
    """Until its lease runs out a leaving peer may still reply; then nobody waits for it any more."""
    membership = group("a")
    assert kinds(membership.observe(notice(NoticeKind.LEAVING, record("a")))) == [ChangeKind.LOST]
    assert membership.peers["a"].leaving

    [change] = membership.observe(sight(a=None))

    assert (change.kind, change.process_ended) == (ChangeKind.LOST, True)
    assert not membership.peers["a"].leaving
    assert membership.observe(sight(a=None, at_s=LONG_AGO_S + 1)) == []


def test_a_leaving_peer_is_not_called_back_by_its_lease() -> None:
    """It holds it until it has sent everything."""
    membership = group("a")
    membership.observe(notice(NoticeKind.LEAVING, record("a")))
    assert membership.observe(sight(record("a"))) == []
    assert kinds(membership.observe(sight(record("a", 2)))) == [ChangeKind.REJOINED]


def test_a_lease_that_ran_out_takes_a_peer_away_and_gives_it_back() -> None:
    """It was paused, or cut off, and goes on as the one that it was."""
    membership = group("a")
    assert kinds(membership.observe(sight(a=None))) == [ChangeKind.LOST]
    assert kinds(membership.observe(sight(record("a")))) == [ChangeKind.RETURNED]


def test_an_absence_that_does_not_count_changes_nothing() -> None:
    """Soon after an outage everybody's lease may be missing."""
    membership = group("a")
    assert membership.observe(sight(a=None, counts=False)) == []
    assert membership.names("actor") == ["a"]


def test_who_was_heard_is_alive() -> None:
    """For a lease time after the reading that followed, whatever the store says."""
    membership = group("a")
    assert membership.hear("a", "actor", 1)
    assert membership.observe(sight(a=None, at_s=2000)) == []
    assert membership.observe(sight(a=None, at_s=2000 + LEASE_S - 0.1)) == []
    assert kinds(membership.observe(sight(a=None, at_s=2000 + LEASE_S))) == [ChangeKind.LOST]


def test_a_superseded_incarnation_is_refused() -> None:
    """It still twitches behind a partition; its successor is heard."""
    membership = group("a")
    membership.observe(sight(record("a", 2)))
    assert not membership.hear("a", "actor", 1)
    assert membership.hear("a", "actor", 2)
    assert membership.hear("a", "actor", 0), "a driver without incarnations"


def test_news_of_the_past_change_nothing() -> None:
    """The end of an older incarnation is not the end of its successor."""
    membership = group("a")
    membership.observe(sight(record("a", 2)))
    for kind in NoticeKind:
        assert membership.observe(notice(kind, record("a", 1))) == []
    assert membership.observe(sight(record("a", 1))) == []
    assert membership.names("actor") == ["a"]
    assert membership.peers["a"].incarnation == 2


def test_without_rejoin_a_new_incarnation_is_the_end_of_the_old() -> None:
    """Its connection is of no use any more, and it is not replaced."""
    membership = group("a", enable_rejoin=False)
    changes = membership.observe(sight(record("a", 2)))
    assert kinds(changes) == [ChangeKind.LOST]
    assert changes[0].process_ended
    assert membership.peers["a"].incarnation == 1


def test_a_newer_incarnation_that_was_heard_is_waited_for_and_denied() -> None:
    """Two readings that do not know of it make it a false alarm."""
    membership = group("a")
    assert membership.hear("a", "actor", 5)
    peer = membership.peers["a"]
    assert peer.superseded
    assert membership.observe(sight(record("a"))) == [] or not peer.superseded
    for _ in range(3):
        membership.observe(sight(record("a")))
    assert not peer.superseded
    membership.hear("a", "actor", 5)
    assert ChangeKind.REJOINED in kinds(membership.observe(sight(record("a", 5))))
    assert not peer.superseded


def test_a_stranger_is_answered_but_does_not_count() -> None:
    """Of a type that is not expected, or one too many without rejoin."""
    membership = group("a", enable_rejoin=False)
    version = membership.version
    for stranger in (record("x", 1, "evaluator"), record("z")):
        assert kinds(membership.adopt(stranger)) == [ChangeKind.JOINED]
        assert not membership.peers[stranger.name].expected
    assert (membership.names("actor"), membership.version) == (["a"], version)
    assert membership.adopt(record("x", 1, "evaluator")) == []
    assert kinds(membership.adopt(record("x", 2, "evaluator"))) == [ChangeKind.REJOINED]


def test_one_of_an_expected_type_that_is_answered_early_counts_with_rejoin() -> None:
    """That its notice was not read yet when it was answered must not keep it out for ever."""
    membership = group("a")
    assert kinds(membership.adopt(record("b"))) == [ChangeKind.JOINED]
    assert membership.names("actor") == ["a", "b"]
    assert membership.observe(notice(NoticeKind.JOIN, record("b"))) == []


def test_a_name_that_comes_back_as_another_type_changes_places() -> None:
    """It counts where it belongs now; of a type that nobody expects, it is only answered."""
    membership = Membership("learner", {"actor": 1, "critic": 0}, True, LEASE_S)
    membership.observe(sight(record("a")))
    assert kinds(membership.observe(notice(NoticeKind.REJOIN, record("a", 2, "critic")))) == [ChangeKind.REJOINED]
    assert (membership.names("actor"), membership.names("critic"), membership.type_of("a")) == ([], ["a"], "critic")
    version = membership.version
    assert kinds(membership.observe(sight(record("a", 3, "stranger")))) == [ChangeKind.REJOINED]
    assert (membership.names("actor"), membership.names("critic")) == ([], [])
    assert membership.version > version
    assert membership.observe(notice(NoticeKind.LEFT, record("a", 3, "stranger")))


def test_a_name_that_changes_its_type_before_it_joined_joins_once() -> None:
    """As the newest of its incarnations, in whatever order these were heard of."""
    for order in ((1, 2), (2, 1)):
        membership = Membership("learner", {"actor": 2, "critic": 2}, False, LEASE_S)
        either = {1: record("a", 1, "actor"), 2: record("a", 2, "critic")}
        for incarnation in order:
            membership.observe(notice(NoticeKind.JOIN, either[incarnation]))
        for other in (record("b"), record("d", 1, "critic")):
            membership.observe(notice(NoticeKind.JOIN, other))
        assert (membership.names("actor"), membership.names("critic")) == ([], ["a", "d"])


def test_who_died_before_there_were_enough_is_not_chosen() -> None:
    """Without rejoin it would be a peer for ever, and never there."""
    membership = Membership("learner", {"actor": 2}, False, LEASE_S)
    membership.observe(notice(NoticeKind.JOIN, record("a")))
    assert membership.observe(sight(record("b"), a=None)) == []
    assert kinds(membership.observe(sight(record("b"), record("c")))) == [ChangeKind.JOINED] * 2
    assert membership.names("actor") == ["b", "c"]


def test_types_of_names() -> None:
    """Joined or heard under; else what the name tells, of the types that are expected."""
    membership = group("bob")
    membership.hear("eve", "evaluator", 1)
    assert membership.type_of("bob") == "actor"
    assert membership.type_of("eve") == "evaluator"
    assert membership.type_of("actor_proxy_17") == "actor"
    assert membership.type_of("actor_proxy_x_proxy_17") is None
    assert membership.type_of("my_actor_proxy_17") is None
    assert membership.type_of("nobody") is None


def test_a_peer_that_can_not_be_connected_to_is_away() -> None:
    """What it registered is of no use; its next incarnation may do better."""
    membership = group("a")
    membership.unreachable(membership.peers["a"], "no such address")
    assert membership.names("actor") == []
    assert membership.peers["a"].reason == "no such address"


def test_being_fenced_is_remembered() -> None:
    """The Proxy raises it at its next operation."""
    membership = group("a")
    assert membership.observe(Fenced(9)) == []
    assert membership.fenced_by == 9


def test_peers_name_is_live_with_fixed_keys() -> None:
    """Each look-up is a list of its own."""
    membership = Membership("me", {"actor": 0, "critic": 0}, True, LEASE_S)
    names = PeersName(membership)
    assert dict(names) == {"actor": [], "critic": []}
    membership.observe(sight(record("b"), record("a"), record("x", 1, "other")))
    assert dict(names) == {"actor": ["a", "b"], "critic": []}
    assert (len(names), list(names), names.count("actor")) == (2, ["actor", "critic"], 2)
    taken = names["actor"]
    for name in taken:
        membership.observe(notice(NoticeKind.GONE, record(name)))
    assert (taken, names["actor"]) == (["a", "b"], [])
    assert names.is_present("a") is False
    assert names.type_of("a") == "actor"
    with pytest.raises(KeyError):
        names["evaluator"]


def test_peers_name_knows_how_many_messages_may_wait() -> None:
    """The bound is what its maker says; nothing is bounded unless it says so."""
    membership = group("a")
    assert PeersName(membership).message_bound is None
    assert PeersName(membership, message_bound=64).message_bound == 64
