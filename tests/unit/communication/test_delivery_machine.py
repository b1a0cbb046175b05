"""Three components that crash, come back, lose packets, and finish in any order: what holds whatever happens."""

from __future__ import annotations

import itertools
import pickle
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from maro.communication.message import Message, SessionMessage
from maro.communication.streams import ReceiveStream, StreamReceipt
from maro.utils.exception.communication_exception import DriverSendError, PeersMissError
from tests.support.stations import Station, StationGroup

NAMES = "abc"
BOUND = 6
names = st.sampled_from(NAMES)
pairs = st.sampled_from([(name, to) for name in NAMES for to in NAMES if name != to])
picks = st.integers(0, 100)
Identity = tuple[str, int]


@dataclass
class Sent:
    """A message that was accepted; its payload is its number."""

    number: int
    source: Identity
    destination: str
    session_id: str
    answers: int | None


@dataclass
class Seen:
    """What one incarnation of a component has seen of the world."""

    received: list[int] = field(default_factory=list)
    """In the order in which `receive` gave them."""
    replies: list[int] = field(default_factory=list)
    """Those that a blocking call returned."""
    open: dict[int, Message] = field(default_factory=dict)
    """Neither finished nor answered."""
    in_hand: list[int] = field(default_factory=list)
    reported: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each session id was returned for each peer."""

    @property
    def handed(self) -> set[int]:
        return {*self.received, *self.replies}


def identity(station: Station) -> Identity:
    return station.name, station.incarnation


def receipt_of(message: Message) -> StreamReceipt:
    assert isinstance(message.receipt, StreamReceipt)
    return message.receipt


class DeliveryMachine(RuleBasedStateMachine):
    """Calls of three components in any order, and what may happen to them meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.group = StationGroup(NAMES, BOUND, high_water_mark=4)
        self.sent: list[Sent] = []
        self.seen: defaultdict[Identity, Seen] = defaultdict(Seen)
        self.finished: set[int] = set()
        """What an application was done with without answering it."""
        self.arrived: set[int] = set()
        """What those that are dead had received, and not looked at."""
        self.answers: defaultdict[int, list[Sent]] = defaultdict(list)

    # Calls of a component.

    @rule(pair=pairs, count=st.integers(1, 4))
    def isend(self, pair: tuple[str, str], count: int) -> None:
        """Send a few in a row, so that they share packets."""
        for _ in range(count):
            if (station := self.free(pair[0])) is not None:
                self.post(station, SessionMessage("work", *pair, len(self.sent)))

    @rule(pair=pairs)
    def send(self, pair: tuple[str, str]) -> None:
        """Begin a blocking call."""
        if (station := self.free(pair[0])) is not None:
            message = SessionMessage("ask", *pair, len(self.sent))
            try:
                reported = station.begin_send(message)
            except (DriverSendError, PeersMissError):
                return
            self.accepted(station, message, None, reported)

    @rule(name=names, end=st.booleans())
    def go_on_with_send(self, name: str, end: bool) -> None:
        """Look for the replies of a blocking call, or let it reach its deadline."""
        station = self.group.stations.get(name)
        if station is not None and station.collection is not None:
            self.replied(station, station.end_call() if end else station.look())

    @rule(name=names, count=st.integers(1, 6))
    def receive(self, name: str, count: int) -> None:
        """What was in hand is finished, and what has arrived is handed out, in order, once."""
        if (station := self.free(name)) is None:
            return
        seen = self.seen[identity(station)]
        station.delivery.hand.received_again()
        for number in seen.in_hand:
            self.note_finished(station, number)
        seen.in_hand.clear()
        for _ in range(count):
            message = station.receive()
            if message is None:
                return
            self.handed(station, message)
            seen.received.append(message.payload)

    @rule(name=names, picks=st.lists(picks, max_size=5))
    def finish_some(self, name: str, picks: list[int]) -> None:
        """In any order."""
        for pick in picks:
            self.finish(name, pick)

    def finish(self, name: str, pick: int) -> None:
        """A second time does nothing."""
        if (station := self.free(name)) is not None and (message := self.pick(station, pick)) is not None:
            receipt_of(message).finish()
            receipt_of(message).finish()
            self.note_finished(station, message.payload)

    @rule(name=names, pick=picks)
    def take_in_hand(self, name: str, pick: int) -> None:
        """An iterator was closed while this was the last that it gave."""
        if (station := self.free(name)) is not None and (message := self.pick(station, pick)) is not None:
            receipt_of(message).put_in_hand()
            self.seen[identity(station)].in_hand.append(message.payload)

    @rule(name=names, picks=st.lists(picks, min_size=1, max_size=4), to=st.none() | names)
    def answer_some(self, name: str, picks: list[int], to: str | None) -> None:
        """Receive, and answer in any order."""
        self.receive(name, len(picks))
        for pick in picks:
            self.answer(name, pick, to)

    def answer(self, name: str, pick: int, to: str | None) -> None:
        """Reply, or pass on to somebody else."""
        if (station := self.free(name)) is None or (message := self.pick(station, pick)) is None:
            return
        destination = message.source if to in (None, name) else to
        assert destination is not None
        answer = station.requester.copy(message, destination, "answer", len(self.sent))
        if not self.post(station, answer, message):
            self.seen[identity(station)].open[message.payload] = message

    @rule(name=names)
    def idle(self, name: str) -> None:
        """Nothing is called; what waits is sent, and what has arrived is read."""
        if name in self.group.stations:
            self.group[name].idle()

    # What happens to them.

    @rule(pair=pairs)
    def lose(self, pair: tuple[str, str]) -> None:
        """From now on all packets on a way are lost."""
        self.group.network.lost_ways.add(pair)

    @rule(pair=pairs, count=st.integers(1, 3))
    def lose_a_few(self, pair: tuple[str, str], count: int) -> None:
        """A connection is made anew under what is sent."""
        if pair not in self.group.network.lost_ways:
            self.lose(pair)
            self.isend(pair, count)
            self.idle(pair[0])
            self.group.network.lost_ways.discard(pair)

    @rule()
    def heal(self) -> None:
        """Nothing is lost any more."""
        self.group.network.lost_ways.clear()

    @rule(name=names, announced=st.booleans())
    @precondition(lambda self: len(self.group.stations) == len(NAMES))
    def crash(self, name: str, announced: bool) -> None:
        """Killed: what it knew is gone."""
        if name in self.group.stations:
            self.arrived |= self.unread(name)
            self.group.kill(name, announced)

    @rule(name=names)
    def start(self, name: str) -> None:
        """The next incarnation begins."""
        if name not in self.group.stations:
            self.group.start(name)

    @rule(name=names, announced=st.booleans(), told=st.sets(names))
    def crash_and_start(self, name: str, announced: bool, told: set[str]) -> None:
        """As whoever watches over the components does it; some of the others know at once."""
        self.crash(name, announced)
        self.start(name)
        for other in sorted(told):
            self.tell(other)

    @rule(name=names)
    def tell(self, name: str) -> None:
        """The news of the others reach one of them."""
        if name in self.group.stations:
            self.group.tell(name)

    @rule(seconds=st.sampled_from([0.00003, 0.003, 0.4, 3.0, 40.0]))
    def pass_time(self, seconds: float) -> None:
        """Messages are alone again; silences get long."""
        self.group.clock.advance(seconds)

    # What holds at any time.

    @invariant()
    def caches_are_within_their_bound(self) -> None:
        """The number of unfinished messages counts, and nothing is kept beyond it."""
        for station in self.group.stations.values():
            for stream in station.delivery.sending.values():
                assert len(stream) <= BOUND
                assert list(stream.entries) == sorted(stream.entries)
                assert stream.floor <= stream.received <= stream.sent <= stream.last

    @invariant()
    def nothing_is_forgotten_early(self) -> None:
        """A message is kept until its receiver is done with it, and until its answer has arrived where it goes."""
        for station in self.group.stations.values():
            if station.driver._rest_of_packet:
                continue  # has arrived, and was told of, but not looked at yet
            kept = {name: set(station.kept_for(name)) for name in NAMES}
            for sent in self.sent:
                if sent.source == identity(station) and sent.number not in kept[sent.destination]:
                    assert self.is_done_with(sent), f"{sent} is forgotten"

    @invariant()
    def requests_are_kept_until_their_replies_are_there(self) -> None:
        """Finished or not, for as long as the call waits."""
        for station in self.group.stations.values():
            if station.collection is not None:
                missing = set(station.collection._missing)
                mine = {sent.number: sent for sent in self.sent if sent.source == identity(station)}
                kept = {mine[number].session_id for name in NAMES for number in station.kept_for(name)}
                assert missing <= kept

    @invariant()
    def what_is_finished_is_what_was_finished(self) -> None:
        """Floor and ranges against a set, and the sender knows no more than the receiver."""
        for station in self.group.stations.values():
            for source, stream in station.delivery.receiving.items():
                numbers = station.finished(source, stream.incarnation)
                assert expanded(stream) == numbers
                assert stream.finished == len(numbers)
                sender = self.group.stations.get(source)
                if sender is not None and sender.incarnation == stream.incarnation:
                    out = sender.sending(station.name)
                    if out is not None and out.incarnation == station.incarnation:
                        assert out.received <= stream.received <= out.last
                        assert set(range(1, out.floor + 1)) <= numbers
                        assert out.finished <= len(numbers)

    def conditions(self) -> list[Callable[[], None]]:
        """All of the above."""
        return [
            self.caches_are_within_their_bound,
            self.nothing_is_forgotten_early,
            self.requests_are_kept_until_their_replies_are_there,
            self.what_is_finished_is_what_was_finished,
        ]

    def teardown(self) -> None:
        """Once everything is well again, everything has arrived; and once all is finished, nothing is left."""
        try:
            self.recover()
            self.nothing_is_lost()
            self.session_ids_are_returned_once()
            self.nothing_remains()
        finally:
            self.group.close()

    def recover(self) -> None:
        self.heal()
        for name in NAMES:
            self.start(name)
        for name in NAMES:
            self.tell(name)
            if self.group[name].collection is not None:
                self.replied(self.group[name], self.group[name].end_call())
        self.group.settle()
        for name in NAMES:
            self.receive(name, 1000)
        self.nothing_is_forgotten_early()

    def nothing_is_lost(self) -> None:
        for sent in self.sent:
            if self.is_alive(sent.source) and not self.is_done_with(sent):
                receiver = identity(self.group[sent.destination])
                assert sent.number in self.seen[receiver].handed, f"{sent} is lost"

    def session_ids_are_returned_once(self) -> None:
        for station in self.group.stations.values():
            for name in set(NAMES) - {station.name}:
                for entry in station.delivery.take_delivered(name):
                    self.seen[identity(station)].reported[entry.session_id, name] += 1
            accepted = Counter(
                (sent.session_id, sent.destination) for sent in self.sent if sent.source == identity(station)
            )
            assert self.seen[identity(station)].reported == accepted

    def nothing_remains(self) -> None:
        for _ in range(2):  # what is in hand takes another look
            for name in NAMES:
                self.receive(name, 1000)
                for number in list(self.seen[identity(self.group[name])].open):
                    self.finish(name, list(self.seen[identity(self.group[name])].open).index(number))
        self.what_is_finished_is_what_was_finished()
        self.group.settle()
        for pair in itertools.permutations(NAMES, 2):  # what was said to be finished may be lost until more is said
            before = len(self.sent)
            self.isend(pair, 1)
            if len(self.sent) == before:  # full: that it was tried makes the sender ask
                self.group.settle()
                self.isend(pair, 1)
                assert len(self.sent) > before, f"{pair} is blocked for ever"
        self.group.settle()
        for name in NAMES:
            self.receive(name, 1000)
            self.finish_some(name, [0] * BOUND)
        self.group.settle()
        for station in self.group.stations.values():
            assert len(station.delivery) == 0, f"{station!r} keeps {station.delivery!r}"
            assert not station.delivery.unsettled and not station.delivery.due
            assert not station.delivery._awaited

    # Inside.

    def free(self, name: str) -> Station | None:
        """A component that runs, and is in no call."""
        station = self.group.stations.get(name)
        return station if station is not None and station.collection is None else None

    def pick(self, station: Station, pick: int) -> Message | None:
        """Some message that the application has got, and is not done with; it is now."""
        seen = self.seen[identity(station)]
        candidates = [number for number in seen.open if number not in seen.in_hand]
        return seen.open.pop(candidates[pick % len(candidates)]) if candidates else None

    def post(self, station: Station, message: Message, answered: Message | None = None) -> bool:
        receipt = None if answered is None else receipt_of(answered)
        try:
            reported = station.isend(message, receipt)
        except (DriverSendError, PeersMissError):
            return False
        self.accepted(station, message, answered, reported)
        return True

    def accepted(
        self, station: Station, message: Message, answered: Message | None, reported: list[str] | None
    ) -> None:
        number = None if answered is None else answered.payload
        sent = Sent(message.payload, identity(station), message.destination, message.session_id, number)
        self.sent.append(sent)
        if number is not None:
            self.answers[number].append(sent)
        self.seen[identity(station)].reported.update((each, message.destination) for each in reported or ())

    def handed(self, station: Station, message: Message) -> None:
        seen = self.seen[identity(station)]
        number = message.payload
        assert number not in seen.handed, f"{number} came twice to {station!r}"
        source = self.sent[number].source
        earlier = [other for other in seen.received if self.sent[other].source == source]
        assert not earlier or earlier[-1] < number, f"{number} came after {earlier[-1]} to {station!r}"
        seen.open[number] = message

    def replied(self, station: Station, replies: list[Message]) -> None:
        for reply in replies:
            assert reply.payload not in self.seen[identity(station)].handed
            self.seen[identity(station)].replies.append(reply.payload)
            self.note_finished(station, reply.payload)

    def note_finished(self, station: Station, number: int) -> None:
        self.seen[identity(station)].open.pop(number, None)
        self.finished.add(number)

    def is_alive(self, source: Identity) -> bool:
        station = self.group.stations.get(source[0])
        return station is not None and station.incarnation == source[1]

    def unread(self, name: str) -> set[int]:
        """What a component has received and not looked at."""
        station = self.group.stations.get(name)
        if station is None:
            return set()
        waiting = {message.payload for message in station.exchange.inbox.messages.values()}
        waiting |= {pickle.loads(body)[-1] for body in station.driver._rest_of_packet}
        replies = station.collection.replies if station.collection is not None else []
        return waiting | {reply.payload for reply in replies}

    def has_arrived(self, sent: Sent) -> bool:
        """At any incarnation of its receiver."""
        handed = (seen.handed for who, seen in self.seen.items() if who[0] == sent.destination)
        return sent.number in self.arrived | self.unread(sent.destination) or any(
            sent.number in each for each in handed
        )

    def is_done_with(self, sent: Sent) -> bool:
        return sent.number in self.finished or any(map(self.has_arrived, self.answers[sent.number]))


def expanded(stream: ReceiveStream) -> set[int]:
    """Every finished number of a stream; runs may neither touch nor overlap."""
    numbers = set(range(1, stream.floor + 1))
    end = stream.floor
    for first, last in stream.ranges():
        assert end + 1 < first <= last
        numbers |= set(range(first, last + 1))
        end = last
    return numbers


def drive(machine: DeliveryMachine, random: Random) -> None:
    """One step, as likely as it is of use: what Hypothesis tries is more even, and finds the shorter stories."""
    name, to = random.sample(NAMES, 2)
    some = [random.randrange(100) for _ in range(random.randint(1, 4))]
    steps: dict[Callable[[], None], int] = {
        lambda: machine.isend((name, to), len(some)): 6,
        lambda: machine.send((name, to)): 2,
        lambda: machine.go_on_with_send(name, random.random() < 0.2): 3,
        lambda: machine.receive(name, len(some)): 6,
        lambda: machine.finish_some(name, some): 4,
        lambda: machine.take_in_hand(name, some[0]): 1,
        lambda: machine.answer_some(name, some, random.choice([None, to])): 6,
        lambda: machine.idle(name): 6,
        lambda: machine.lose((name, to)): 1,
        lambda: machine.lose_a_few((name, to), len(some)): 1,
        machine.heal: 1,
        lambda: machine.crash_and_start(
            name, random.random() < 0.5, {other for other in NAMES if random.random() < 0.5}
        ): 1,
        lambda: machine.tell(name): 2,
        lambda: machine.pass_time(random.choice([0.00003, 0.003, 0.4, 3.0])): 3,
    }
    random.choices(list(steps), list(steps.values()))[0]()
    for held in machine.conditions():
        held()


@pytest.mark.parametrize("seed", range(60))
def test_long_stories(seed: int) -> None:
    """The same, for runs in which caches fill, streams get old, and every component has died several times."""
    print(f"seed {seed}")
    machine, random = DeliveryMachine(), Random(seed)
    try:
        for _ in range(250):
            drive(machine, random)
    except BaseException:
        machine.group.close()
        raise
    machine.teardown()


def test_a_full_cache_comes_free_though_the_acknowledgements_were_lost() -> None:
    """Everything was received, so nothing is missing; its owner asks, though it never waits for anything."""
    group = StationGroup("ab", bound=2)
    try:
        # Given two messages that were received and finished, of which only the first half was told
        sender, receiver = group["a"], group["b"]
        for number in range(2):
            assert sender.isend(SessionMessage("work", "a", "b", number))
        group.settle()
        group.network.lost_ways.add(("b", "a"))
        for _ in range(2):
            message = receiver.receive()
            assert message is not None
            receipt_of(message).finish()
        group.settle()
        group.network.lost_ways.clear()
        group.settle()
        assert sender.kept_for("b") == [0, 1]
        # When one more is to be sent, then there is no room; but some time later there is
        for has_room in (False, False, True):
            if has_room:
                group.settle()
                assert sender.isend(SessionMessage("work", "a", "b", 2))
            else:
                with pytest.raises(DriverSendError, match="2 are kept"):
                    sender.isend(SessionMessage("work", "a", "b", 2))
        assert sender.kept_for("b") == [2]
    finally:
        group.close()


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = settings(max_examples=100, stateful_step_count=60)
