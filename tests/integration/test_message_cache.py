"""What is sent to a peer that is away is kept for it, in order, within bounds, and accounted for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maro.communication import Proxy, SessionType
from maro.communication.observations import NoticeKind
from maro.utils.exception.communication_exception import DriverSendError
from tests.support.components import Component, Group, await_peers, receive_until, request, take

CACHE: dict[str, Any] = {"enable_rejoin": True, "enable_message_cache_for_rejoin": True, "minimal_peers": 0}


def with_actor_away(group: Group, **options: Any) -> Proxy:
    """A learner whose only actor was killed, and who knows it."""
    learner, actor = group.pair(**{**CACHE, **options})
    group.kill_and_deregister(actor)
    await_peers(learner, "actor", [])
    return learner


def back(group: Group, learner: Proxy, **options: Any) -> Component:
    """The actor again; the learner does nothing but receive until it is seen."""
    actor = group.actor(1, **{**CACHE, **options}).joined()
    await_peers(learner, "actor", ["actor.1"])
    return actor


def payloads(messages: list[Any]) -> list[Any]:
    return [message["payload"] for message in messages]


def test_kept_messages_are_delivered_in_order_when_the_peer_is_back(group: Group) -> None:
    """Nothing else has to be sent for that, and newer messages come after them."""
    # Given messages of all kinds to an actor that is away
    learner = with_actor_away(group)
    for number in range(5):
        assert learner.isend(request(learner, "actor.1", number)) is None
    assert learner.iscatter("data", SessionType.TASK, [("actor.1", 5)]) == []
    assert learner.ibroadcast("actor", "data", SessionType.NOTIFICATION, 6) == []
    # When it is back, and the learner only receives
    actor = back(group, learner)
    # Then it gets all of them, in order, before anything newer
    assert payloads(actor.ask("receive", count=7)) == list(range(7))
    learner.isend(request(learner, "actor.1", "newer"))
    assert payloads(actor.ask("receive")) == ["newer"]


def test_session_ids_of_kept_messages_come_with_the_next_isend(group: Group) -> None:
    """Each session id is returned by exactly one call, and finds its reply."""
    # Given two kept messages
    learner = with_actor_away(group)
    kept = [request(learner, "actor.1", number) for number in range(2)]
    for message in kept:
        assert learner.isend(message) is None
    # When the actor is back, and the next ones are sent
    actor = back(group, learner)
    third, fourth = request(learner, "actor.1", 2), request(learner, "actor.1", 3)
    # Then the first of them returns all ids until then, the second its own
    ids = learner.isend(third)
    assert ids == [message.session_id for message in (*kept, third)]
    assert learner.isend(fourth) == [fourth.session_id]
    # And the replies are found by these ids
    actor.start("serve")
    assert ids is not None
    replies = learner.receive_by_id(ids, timeout=20_000)
    assert replies is not None
    assert [reply.payload["to"] for reply in replies] == [0, 1, 2]


def test_session_ids_of_kept_messages_come_with_the_next_iscatter(group: Group) -> None:
    """`iscatter` to that peer reports them as `isend` does."""
    # Given a kept message
    learner = with_actor_away(group)
    kept = request(learner, "actor.1", 0)
    assert learner.isend(kept) is None
    # When the actor is back, and the next message goes out by iscatter
    back(group, learner)
    ids = learner.iscatter("data", SessionType.TASK, [("actor.1", 1)])
    # Then the kept one's id comes first, and is not returned again
    assert len(ids) == 2 and ids[0] == kept.session_id
    assert kept.session_id not in learner.iscatter("data", SessionType.TASK, [("actor.1", 2)])


def test_replies_to_kept_requests_come_with_the_next_send(group: Group) -> None:
    """A blocking `send` whose peer was away gets its reply with the next one."""
    # Given a blocking send that was kept
    learner = with_actor_away(group)
    assert learner.send(request(learner, "actor.1", "kept"), timeout=-1) is None
    # When the actor is back and serves, and the learner sends again
    back(group, learner).start("serve")
    replies = learner.send(request(learner, "actor.1", "next"), timeout=20_000)
    # Then both replies are there
    assert replies is not None
    assert [reply.payload["to"] for reply in replies] == ["kept", "next"]


def test_replies_that_nobody_asked_for_go_to_receive(group: Group) -> None:
    """A kept broadcast's reply, and one whose id was returned, are ordinary messages to `receive`."""
    # Given a kept broadcast
    learner = with_actor_away(group)
    assert learner.broadcast("actor", "data", SessionType.TASK, "kept", timeout=-1) == []
    # When the actor is back and serves
    back(group, learner).start("serve")
    # Then its reply is received
    assert [message.payload["to"] for message in take(learner, 1)] == ["kept"]


@pytest.mark.parametrize("call", ["isend", "iscatter", "ibroadcast"])
def test_a_full_cache_is_back_pressure_and_then_an_error(group: Group, call: str) -> None:
    """Nothing is evicted: the sender waits, and is told the peer and the length."""
    # Given a cache for three messages, which is full
    learner = with_actor_away(
        group,
        max_length_for_message_cache=3,
        driver_parameters={"send_timeout": 200},
        timeout_for_minimal_peer_number=5,
    )
    for number in range(3):
        assert learner.isend(request(learner, "actor.1", number)) is None
    # When one more is sent
    # Then it fails, and says how many are kept for whom
    with pytest.raises(DriverSendError, match=r"'actor\.1'.*3 are kept, and max_length_for_message_cache is 3"):
        if call == "isend":
            learner.isend(request(learner, "actor.1", "one too many"))
        elif call == "iscatter":
            learner.iscatter("data", SessionType.TASK, [("actor.1", "one too many")])
        else:
            learner.ibroadcast("actor", "data", SessionType.NOTIFICATION, "one too many")
    # And the three are delivered
    actor = back(group, learner)
    assert payloads(actor.ask("receive", count=3)) == [0, 1, 2]
    assert actor.ask("receive", timeout=0) == []


def test_a_full_cache_waits_no_longer_than_for_the_minimum_of_peers(group: Group) -> None:
    """With a send_timeout of -1, a peer that is away is waited for as long as for too few peers."""
    # Given a full cache, and a sender without a timeout of its own
    learner = with_actor_away(group, max_length_for_message_cache=1, timeout_for_minimal_peer_number=1)
    assert learner.isend(request(learner, "actor.1", 0)) is None
    # When it sends, Then it is told in the end
    with pytest.raises(DriverSendError, match=r"'actor\.1'.*1 are kept"):
        learner.isend(request(learner, "actor.1", 1))


def test_a_sender_that_waits_for_room_goes_on_when_the_peer_is_back(group: Group) -> None:
    """Back-pressure ends with the absence, and the message goes out last."""
    # Given a component that waits for room in the cache of an actor that is away
    options = {**CACHE, "max_length_for_message_cache": 2}
    learner = group.component("learner", {"actor": 1}, **options)
    actor = group.actor(1, **options).joined()
    learner.joined()
    group.kill_and_deregister(actor)
    learner.ask("await_peers", names={"actor": []})
    for number in range(2):
        assert learner.ask("isend", to="actor.1", payload=number) is None
    waiting = learner.start("isend", to="actor.1", payload=2)
    # When the actor is back, and is done with the first
    actor = group.actor(1, **options).joined()
    receiving = actor.start("receive", count=3)
    # Then the call returns all ids, and all messages arrive in order
    assert len(waiting()) == 3
    assert payloads(receiving()) == [0, 1, 2]


def test_what_is_kept_for_a_peer_that_left_is_dropped_and_reported(group: Group) -> None:
    """A clean leave is for good: the next send says how much was dropped, later ones that nobody comes back."""
    # Given three messages for an actor that is away
    learner, actor = group.pair(**CACHE)
    record = group.record("actor.1")
    group.kill_and_deregister(actor)
    await_peers(learner, "actor", [])
    for number in range(3):
        assert learner.isend(request(learner, "actor.1", number)) is None
    # When whoever watches over it makes known that it was told to leave
    group.store().deregister(record, NoticeKind.LEFT)
    kept = 3

    def kept_one_more() -> bool:
        nonlocal kept
        assert learner.isend(request(learner, "actor.1", kept)) is None
        kept += 1
        return False

    # Then the first send after the news says what was dropped
    with pytest.raises(DriverSendError, match=r"'actor\.1' can't be sent to: it left the group") as caught:
        receive_until(learner, kept_one_more, "the news")
    assert f"{kept} messages that were kept for it are dropped" in str(caught.value)
    # And the one after that has nothing more to report
    with pytest.raises(DriverSendError, match=r"it left the group, and does not come back$"):
        learner.isend(request(learner, "actor.1", "more"))


@pytest.mark.parametrize("call", ["isend", "send", "iscatter"])
def test_what_was_dropped_is_reported_although_the_peer_is_back(group: Group, call: str) -> None:
    """A peer that leaves for good and comes back between two sends has lost what was kept: the next send says so."""
    # Given three messages for an actor that is away
    learner, actor = group.pair(**CACHE)
    record = group.record("actor.1")
    group.kill_and_deregister(actor)
    await_peers(learner, "actor", [])
    for number in range(3):
        assert learner.isend(request(learner, "actor.1", number)) is None
    # When it leaves for good, and is back before anything else is sent to it but a broadcast
    group.store().deregister(record, NoticeKind.LEFT)
    actor = back(group, learner)
    assert len(learner.ibroadcast("actor", "data", SessionType.NOTIFICATION, "for whoever is there")) == 1
    # Then the next send says what was dropped, and sends nothing
    sends: dict[str, Callable[[], object]] = {
        "isend": lambda: learner.isend(request(learner, "actor.1", "refused")),
        "send": lambda: learner.send(request(learner, "actor.1", "refused"), timeout=1),
        "iscatter": lambda: learner.iscatter("data", SessionType.TASK, [("actor.1", "refused")]),
    }
    with pytest.raises(DriverSendError, match=r"3 that were kept for 'actor\.1'.*nothing was sent now: send it again"):
        sends[call]()
    # And the one after that has nothing to report
    assert learner.isend(request(learner, "actor.1", "again")) is not None
    assert payloads(actor.ask("receive", count=2)) == ["for whoever is there", "again"]


def test_a_name_that_left_may_be_used_again(group: Group) -> None:
    """A component that comes back after a clean leave is a peer like any other."""
    # Given an actor that left
    learner, actor = group.pair(**CACHE)
    actor.no_more_commands()
    assert actor.exit_code() == 0
    await_peers(learner, "actor", [])
    # When it comes back
    actor = back(group, learner)
    # Then messages reach it
    assert learner.isend(request(learner, "actor.1", "again")) is not None
    assert payloads(actor.ask("receive")) == ["again"]


def test_without_the_cache_a_message_to_a_peer_that_is_away_is_dropped(group: Group) -> None:
    """That is what the setting means; the caller was told by None."""
    # Given a learner without the cache, whose actor is away
    learner = with_actor_away(group, enable_message_cache_for_rejoin=False)
    assert learner.isend(request(learner, "actor.1", "dropped")) is None
    # When the actor is back, and gets another message
    actor = back(group, learner, enable_message_cache_for_rejoin=False)
    learner.isend(request(learner, "actor.1", "sent"))
    # Then it has only that
    assert payloads(actor.ask("receive")) == ["sent"]


def test_the_payload_is_what_it_was_when_the_call_returned(group: Group) -> None:
    """Also where the message was kept, and its payload changed before it went out."""
    # Given a kept message, whose payload the caller changes afterwards
    learner = with_actor_away(group)
    payload = [1, 2, 3]
    learner.isend(request(learner, "actor.1", payload))
    payload[:] = [0]
    # When it is delivered, Then it is the old one
    assert payloads(back(group, learner).ask("receive")) == [[1, 2, 3]]
