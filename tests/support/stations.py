"""Exchanges of one group in one thread, in memory, under a clock that the test moves: no Redis, no thread, no waiting.

The exchange, the driver and all rooms between them are the real ones. The network can lose what goes one way, and news
of components reaches each of the others when the test says so.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from typing import Any, cast

from maro.communication import clock
from maro.communication.deadline import Deadline
from maro.communication.directory import Directory, Mailbox
from maro.communication.driver.memory_driver import MemoryDriver
from maro.communication.driver.memory_network import Frames, MemoryNetwork
from maro.communication.exchange import Exchange
from maro.communication.flusher import Pace
from maro.communication.message import Message
from maro.communication.observations import Introduced, Notice, NoticeKind, Observation, PeerRecord
from maro.communication.packets import Encoded
from maro.communication.requesting import Requester
from maro.communication.sessions import Collection
from maro.communication.settings import ProxySettings, RedisAddress
from maro.communication.streams import SendStream, StreamReceipt
from maro.utils.logger import DummyLogger

TYPE = "node"
AT_ONCE = 0
"""Milliseconds: nothing here may wait."""


class MovedClock:
    """Time that passes when it is told to; installed for the whole process until `close`."""

    def __init__(self) -> None:
        self.now = 1000.0
        clock.install(lambda: self.now, self.advance)

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += seconds

    def close(self) -> None:
        """Back to the machine's clock."""
        clock.restore()


class LossyNetwork(MemoryNetwork):
    """A network that loses all that goes certain ways, and counts what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.lost_ways: set[tuple[str, str]] = set()
        """Names of components, from and to."""
        self.names: dict[str, str] = {}
        """Of the component at each address."""
        self.packets = 0

    def transmit(self, sender: str, address: str, frames: Frames, bound: int, connection: str = "") -> bool:
        """As the network, unless the way is one that loses everything."""
        self.packets += 1
        if (self.names[sender], self.names[address]) in self.lost_ways:
            return True
        return super().transmit(sender, address, frames, bound, connection)


class News:
    """In place of a Directory: what a component learns of the others is what the test leaves in the mailbox."""

    def __init__(self, group: StationGroup) -> None:
        self.mailbox = Mailbox()
        self._group = group

    def find(self, component_type: str, name: str) -> PeerRecord | None:
        """The record of a component that runs."""
        station = self._group.stations.get(name)
        return None if station is None else station.record

    def look_up(self, component_type: str, name: str) -> None:
        """Leave word of a component that runs."""
        record = self.find(component_type, name)
        if record is not None:
            self.mailbox.put(Introduced(record))

    def refresh(self) -> None:
        """The news come when the test says so."""

    def watch(self, record: PeerRecord) -> None:
        """All components are watched."""


class NoFlusher:
    """In place of a Flusher: the test says when nothing else is going on (`Station.idle`)."""

    pace = Pace.IDLE

    def wake(self, pace: Pace) -> None:
        """Nothing to wake."""

    def close(self) -> None:
        """Nothing to end."""


class Station:
    """One incarnation of a component."""

    def __init__(self, group: StationGroup, name: str, incarnation: int, bound: int, high_water_mark: int) -> None:
        self.name = name
        self.incarnation = incarnation
        self.driver = MemoryDriver(TYPE, group.network, AT_ONCE, AT_ONCE, high_water_mark=high_water_mark)
        group.network.names.update(dict.fromkeys(self.driver.address.values(), name))
        addresses = {str(kind): address for kind, address in self.driver.address.items()}
        self.record = PeerRecord(name, TYPE, incarnation, addresses)
        self.news = News(group)
        settings = _settings(name, bound)
        self.exchange = Exchange(settings, self.record, self.driver, cast("Directory", self.news), DummyLogger())
        self.exchange.flusher = cast("Any", NoFlusher())
        self.delivery = self.exchange.delivery
        self.requester = Requester(self.exchange, settings)
        self.collection: Collection | None = None
        """What a blocking call waits for."""
        self.receipts: defaultdict[tuple[str, int], dict[int, StreamReceipt]] = defaultdict(dict)
        """By sender and its incarnation, of every message that was taken, by its number."""
        self._make_receipt = self.delivery.receipt
        self.delivery.receipt = self._recorded_receipt  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return f"Station({self.name!r}, {self.incarnation})"

    def isend(self, message: Message, answers: StreamReceipt | None = None) -> list[str] | None:
        """As the Proxy does it."""
        if self.requester.send_at_once(message, answers):
            return [message.session_id]
        sent = self.requester.send(message, Deadline(AT_ONCE), awaited=False, answers=answers)
        return None if sent is None else sent.welcome + sent.required

    def begin_send(self, message: Message) -> list[str] | None:
        """The first half of a blocking call; `look` is the other."""
        sent = self.requester.send(message, Deadline(AT_ONCE), awaited=True)
        if sent is None:
            return None
        self.collection = Collection(sent.required, self.exchange.requests, sent.welcome)
        return sent.welcome + sent.required

    def look(self) -> list[Message]:
        """The blocking call goes on; the replies if all are there, which end it."""
        assert self.collection is not None
        self.exchange.collect(self.collection, Deadline(AT_ONCE))
        return self.end_call() if self.collection.complete else []

    def end_call(self) -> list[Message]:
        """The blocking call is at its deadline."""
        collection, self.collection = self.collection, None
        assert collection is not None
        self.delivery.end_wait(collection.asked_for())
        return collection.replies

    def receive(self) -> Message | None:
        """The next message that has arrived."""
        return self.exchange.next_at_once() or self.exchange.next_message(Deadline(AT_ONCE))

    def idle(self) -> None:
        """What goes on while a call of the component waits: all that arrived is read, all that is due is sent."""
        self.exchange.pump()
        self.exchange.sleep(Deadline(AT_ONCE))

    def sending(self, peer: str) -> SendStream[Encoded] | None:
        """The stream to a peer, if there is one."""
        return self.delivery.sending.get(peer)

    def kept_for(self, peer: str) -> list[Any]:
        """The payloads that are kept for a peer, in order."""
        stream = self.sending(peer)
        return [] if stream is None else [pickle.loads(entry.content.body)[-1] for entry in stream.entries.values()]

    def finished(self, source: str, incarnation: int) -> set[int]:
        """The numbers of a sender's messages whose receipts say that they are finished."""
        return {number for number, receipt in self.receipts[source, incarnation].items() if not receipt._number}

    def _recorded_receipt(self, number: int) -> StreamReceipt:
        receipt = self._make_receipt(number)
        taken = self.receipts[receipt.stream.source, receipt.stream.incarnation]
        assert number not in taken, f"{number} of {receipt.stream!r} was taken twice by {self!r}"
        taken[number] = receipt
        return receipt

    def end(self) -> None:
        """It is killed: what it has handed to the network arrives, and nothing else."""
        self.driver.close()
        self.news.mailbox.close()


class StationGroup:
    """Components by name, each running in some incarnation, or dead."""

    def __init__(self, names: str, bound: int, high_water_mark: int = 1000) -> None:
        self.clock = MovedClock()
        self.network = LossyNetwork()
        self.names = list(names)
        self.stations: dict[str, Station] = {}
        self._untold: dict[str, list[Observation]] = {}
        self._bound, self._high_water_mark = bound, high_water_mark
        self._incarnations = 0
        for name in self.names:
            self.start(name)
        for name in self.names:
            self.tell(name)

    def __getitem__(self, name: str) -> Station:
        return self.stations[name]

    def start(self, name: str) -> Station:
        """Start a component, which knows all that run; they hear of it by `tell`."""
        self._incarnations += 1
        station = Station(self, name, self._incarnations, self._bound, self._high_water_mark)
        self._publish(Notice(NoticeKind.JOIN, station.record))
        for other in self.stations.values():
            station.news.mailbox.put(Notice(NoticeKind.JOIN, other.record))
        self.stations[name] = station
        self._untold[name] = []
        station.exchange.pump()
        return station

    def kill(self, name: str, announced: bool) -> None:
        """End a component; unless that is announced the others see only its successor."""
        station = self.stations.pop(name)
        station.end()
        if announced:
            self._publish(Notice(NoticeKind.GONE, station.record))

    def publish(self, kind: NoticeKind, station: Station) -> None:
        """News of a component that the others get by `tell`."""
        self._publish(Notice(kind, station.record))

    def tell(self, name: str) -> None:
        """Let a component have the news of the others, and act upon them."""
        for observation in self._untold[name]:
            self.stations[name].news.mailbox.put(observation)
        self._untold[name].clear()
        self.stations[name].exchange.pump()

    def settle(self, pause_s: float = 31.0, at_most: int = 100) -> None:
        """Nobody does anything but wait, until nobody says anything any more, even after long silences."""
        quiet = 0
        for _ in range(at_most):
            before = self.network.packets
            for station in self.stations.values():
                station.idle()
            quiet = quiet + 1 if self.network.packets == before else 0
            if quiet == 3:
                return
            self.clock.advance(pause_s)
        raise AssertionError(f"after {at_most} rounds they still talk: {self.stations}")

    def close(self) -> None:
        """End everything, and give the clock back."""
        for station in self.stations.values():
            station.end()
        self.clock.close()

    def _publish(self, notice: Notice) -> None:
        for name, untold in self._untold.items():
            if name != notice.record.name:
                untold.append(notice)


def _settings(name: str, bound: int) -> ProxySettings:
    return ProxySettings(
        group_name="group",
        component_type=TYPE,
        expected_peers={TYPE: 1},
        name=name,
        redis_address=RedisAddress("nowhere"),
        max_retries=0,
        retry_interval_s=1.0,
        enable_rejoin=True,
        minimal_peers={},
        peers_catch_lifetime_s=10,
        enable_message_cache=True,
        max_length_for_message_cache=bound,
        timeout_for_minimal_peers_s=300,
        is_remove_failed_container=False,
        max_rejoin_times=5,
        lease_s=5.0,
        linger_ms=1000,
        job_id=None,
        container_name=None,
        advertise_host=None,
    ).validate()
