"""A network in memory: seeded, so that what it drops, delays, cuts off and loses is the same again with the same seed.

It keeps ZeroMQ's manners: a connection is a bounded queue in order, and a full one is back-pressure; what is cut off,
or for an address where nobody listens, waits at the sender; a connection that is made anew loses a run of what was on
its way; and whoever binds an address gets what others still hold for it.
"""

from __future__ import annotations

import math
import random
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable

from maro.communication import clock as clocks

Frames = tuple[bytes, ...]
Way = tuple[str, str]
"""Where a connection comes from: the sender's address, and what the sender calls the connection. It may have several
to one address: that of a peer which is no more, and that of the peer which listens there now."""

_SCHEME = "memory://"
ARRIVED = -math.inf
"""The time of arrival of what was there before its way was cut: that does not hold it any more."""


class MemoryNetwork:
    """Addresses, what is on its way between them, and what is wrong with the network at the moment.

    Args:
        seed: of everything random.
        clock: seconds; by default those that all of the package goes by.
    """

    def __init__(self, seed: int = 0, clock: Callable[[], float] | None = None) -> None:
        self.clock = clock or clocks.monotonic
        self.drop_rate = 0.0
        """Probability that a packet is lost."""
        self.delay_s = (0.0, 0.0)
        """Least and most seconds on the way; order within a connection is kept."""
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._pipes: dict[str, dict[Way, deque[tuple[float, Frames]]]] = {}
        """By receiver's address and connection: packets on their way, each with the time at which it arrives. None is
        empty: looking for arrivals costs no more than there are."""
        self._wakers: dict[str, Callable[[], None]] = {}
        self._blocked: dict[tuple[Way, str], None] = {}
        """Connections that had no room when they were asked, and the addresses."""
        self._cut: set[tuple[str, str]] = set()
        self._numbers = 0

    # What is wrong.

    def partition(self, side: Iterable[str], other: Iterable[str], *, one_way: bool = False) -> None:
        """Hold what goes between the addresses of two sides (one way: only from the first to the other)."""
        with self._lock:
            pairs = {(a, b) for a in side for b in other}
            if not one_way:
                pairs |= {(b, a) for a, b in pairs}
            self._mark_arrived(pairs)
            self._cut |= pairs

    def heal(self) -> None:
        """End all partitions, losses and delays."""
        with self._lock:
            self._cut.clear()
            self.drop_rate, self.delay_s = 0.0, (0.0, 0.0)
            wakers = list(self._wakers.values())
        for wake in wakers:
            wake()

    def reset(self, sender: str, address: str, connection: str = "") -> int:
        """Make a connection anew: a run of what is on its way is lost, chosen by the seed; what follows it arrives.

        Returns:
            How many packets were lost.
        """
        with self._lock:
            way = (sender, connection)
            packets = self._packets(way, address)
            start = self._random.randint(0, len(packets))
            end = self._random.randint(start, len(packets))
            kept = [packet for number, packet in enumerate(packets) if not start <= number < end]
            self._replace(way, address, kept)
        if end > start:
            self._made_room(way, address)
        return end - start

    # Receivers.

    def bind(self, wake: Callable[[], None], address: str | None = None) -> str:
        """Listen at an address.

        Args:
            wake: called when something is sent to it, and when it has room again to send where it found none.
            address: one that was given out, and where nobody listens now; what others hold for it arrives. By default
                a new one.
        """
        with self._lock:
            if address is None:
                self._numbers += 1
                address = f"{_SCHEME}{self._numbers}"
            self._wakers[address] = wake
            return address

    def unbind(self, address: str) -> None:
        """Nobody listens at the address any more: what had arrived is lost, what had not waits for a successor."""
        with self._lock:
            for way in list(self._pipes.get(address, {})):
                late = [packet for packet in self._packets(way, address) if self._is_late(way, address, packet)]
                self._replace(way, address, late)
            self._wakers.pop(address, None)
            freed = [way for way, blocked_on in self._blocked if blocked_on == address]
        for way in freed:
            self._made_room(way, address)

    def knows(self, address: str) -> bool:
        """Whether the address was ever given out."""
        number = str(address).removeprefix(_SCHEME)
        return number.isdecimal() and 0 < int(number) <= self._numbers

    def collect(self, address: str) -> Frames | None:
        """The packet that has waited longest at the address, fairly between senders."""
        with self._lock:
            pipes = self._pipes.get(address)
            if not pipes:
                return None
            now = self.clock()
            for way, packets in pipes.items():
                arrives = packets[0][0]
                if arrives <= now and (arrives == ARRIVED or not self._is_cut(way[0], address)):
                    break
            else:
                return None
            _, frames = packets.popleft()
            del pipes[way]
            if packets:
                pipes[way] = packets  # to the end of the queue of senders
        self._made_room(way, address)
        return frames

    def next_arrival_s(self, address: str) -> float | None:
        """Seconds until the next packet arrives at the address; None where none is on its way."""
        with self._lock:
            pipes = self._pipes.get(address)
            if not pipes:
                return None
            times = [
                packets[0][0]
                for way, packets in pipes.items()
                if packets[0][0] == ARRIVED or not self._is_cut(way[0], address)
            ]
            return max(0.0, min(times) - self.clock()) if times else None

    # Senders.

    # `connection` tells a sender's connections to one address from each other.

    def transmit(self, sender: str, address: str, frames: Frames, bound: int, connection: str = "") -> bool:
        """Put a packet on its way; False where `bound` packets are on it already."""
        with self._lock:
            way = (sender, connection)
            pipes = self._pipes.setdefault(address, {})
            packets = pipes.get(way)
            if packets is not None and len(packets) >= bound:
                self._blocked[way, address] = None
                return False
            if self.drop_rate == 0 or self._random.random() >= self.drop_rate:
                arrives = self.clock()
                if self.delay_s[1]:
                    arrives += self._random.uniform(*self.delay_s)
                if packets is None:
                    packets = pipes[way] = deque()
                else:
                    arrives = max(arrives, packets[-1][0])
                packets.append((arrives, frames))
            wake = self._wakers.get(address)
        if wake is not None:
            wake()
        return True

    def has_room(self, sender: str, address: str, bound: int, connection: str = "") -> bool:
        """Whether `transmit` would take a packet; if not, the sender is woken when it does."""
        with self._lock:
            way = (sender, connection)
            if len(self._packets(way, address)) < bound:
                return True
            self._blocked[way, address] = None
            return False

    def cancel(self, sender: str, address: str, connection: str = "") -> None:
        """Forget what is on its way from one address to another: the sender closed the connection."""
        with self._lock:
            way = (sender, connection)
            self._replace(way, address, ())
            self._blocked.pop((way, address), None)

    def holds_back(self, sender: str, address: str, connection: str = "") -> bool:
        """Whether something from one address to another has yet to arrive."""
        with self._lock:
            way = (sender, connection)
            return any(self._is_late(way, address, packet) for packet in self._packets(way, address))

    def let_go(self, sender: str, address: str, connection: str = "") -> None:
        """Forget what has yet to arrive: the sender closed, and does not try any more."""
        with self._lock:
            way = (sender, connection)
            packets = self._packets(way, address)
            self._replace(way, address, [each for each in packets if not self._is_late(way, address, each)])
            self._blocked.pop((way, address), None)

    # Inside.

    def _packets(self, way: Way, address: str) -> deque[tuple[float, Frames]]:
        return self._pipes.get(address, {}).get(way) or deque()

    def _replace(self, way: Way, address: str, packets: Iterable[tuple[float, Frames]]) -> None:
        """Have only these on their way; what is empty is forgotten."""
        pipes = self._pipes.get(address, {})
        if kept := deque(packets):
            pipes[way] = kept
        else:
            pipes.pop(way, None)
            if not pipes and address not in self._wakers:
                self._pipes.pop(address, None)

    def _made_room(self, way: Way, address: str) -> None:
        if self._blocked and (way, address) in self._blocked:
            del self._blocked[way, address]
            wake = self._wakers.get(way[0])
            if wake is not None:
                wake()

    def _mark_arrived(self, pairs: Collection[tuple[str, str]]) -> None:
        """The ways between these addresses are about to be cut: what has arrived by them has arrived."""
        now = self.clock()
        for address, pipes in self._pipes.items():
            for way, packets in pipes.items():
                if (way[0], address) in pairs and address in self._wakers:
                    pipes[way] = deque((ARRIVED if at <= now else at, frames) for at, frames in packets)

    def _is_cut(self, sender: str, address: str) -> bool:
        return (sender, address) in self._cut

    def _is_late(self, way: Way, address: str, packet: tuple[float, Frames]) -> bool:
        if packet[0] == ARRIVED:
            return False
        return packet[0] > self.clock() or address not in self._wakers or self._is_cut(way[0], address)
