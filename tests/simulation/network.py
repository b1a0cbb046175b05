"""The network of a simulation: hosts that crash, are cut off from each other, and get each other's old addresses."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

from maro.communication.driver.memory_network import ARRIVED, Frames, MemoryNetwork, Way

_ALL_LOST = 0.4
"""How often a crash loses all that was on its way to the dead; else a part of it waits at the senders."""


class SimNetwork(MemoryNetwork):
    """A `MemoryNetwork` whose addresses belong to hosts.

    Args:
        chance: of everything random.
        clock: seconds.
        reuse: how often a new address is an old one of somebody dead, if there is one.
        stragglers: how often a part of what was on its way still arrives when a sender has closed the connection.
        record: called with a word and details for whatever is worth a line in a trace; None where nobody wants it.
    """

    def __init__(
        self,
        chance: random.Random,
        clock: Callable[[], float],
        reuse: float,
        stragglers: float,
        record: Callable[..., None] | None = None,
    ) -> None:
        super().__init__(0, clock)
        self._random = chance
        self._reuse = reuse
        self._straggle = stragglers
        self._record = record
        self._hosts: dict[str, str] = {}
        self._free: list[str] = []
        self._cut_hosts: set[tuple[str, str]] = set()
        self._remains: set[Way] = set()
        """What the dead sent that still arrives."""
        self.sent = 0
        """Packets that were put on their way."""
        self.lost = 0
        """Packets that resets and crashes took."""
        self.impeded: set[tuple[str, str]] = set()
        """From whom to whom there was no room at some time, or something was lost."""
        self.reused = 0
        """Addresses that were somebody else's before."""
        self.stragglers = 0
        """Connections that were closed while something was on its way that arrived all the same."""

    # Hosts.

    def cut(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Hold what goes from the first of each pair to the second."""
        pairs = set(pairs)
        ways = ((way[0], address) for way, address in self._ways())
        self._mark_arrived({way for way in ways if (self._hosts[way[0]], self._hosts[way[1]]) in pairs})
        self._cut_hosts |= pairs

    def mend(self, pairs: Iterable[tuple[str, str]], renewal: float) -> None:
        """End what `cut` began; each connection is made anew with this probability, else it goes on."""
        pairs = sorted(set(pairs) & self._cut_hosts)
        self._cut_hosts.difference_update(pairs)
        for (sender, connection), address in list(self._ways()):
            if (self._hosts[sender], self._hosts[address]) in pairs and self._random.random() < renewal:
                self.renew(sender, address, connection)
        self.wake_all()

    def renew_host(self, host: str, renewal: float) -> None:
        """Make the connections from and to a host anew, each with this probability."""
        for (sender, connection), address in list(self._ways()):
            if host in (self._hosts[sender], self._hosts[address]) and self._random.random() < renewal:
                self.renew(sender, address, connection)

    def renew(self, sender: str, address: str, connection: str) -> None:
        """Make one connection anew."""
        lost = self.reset(sender, address, connection)
        self.lost += lost
        if lost:
            self.impeded.add((self._hosts[sender], self._hosts[address]))
        if self._record is not None:
            self._record("reset", self._hosts[sender], self._hosts[address], f"lost={lost}")

    def bind_for(self, host: str, wake: Callable[[], None]) -> str:
        """An address for a host: a new one, or one that somebody else had before."""
        old = [address for address in self._free if self._hosts[address] != host]
        # Rather one that somebody still has something for.
        old = [address for address in old if self._pipes.get(address)] or old
        reused = self._random.choice(old) if old and self._random.random() < self._reuse else None
        if reused is not None:
            self._free.remove(reused)
            self.reused += 1
            if self._record is not None:
                self._record("reuse", host, self._hosts[reused])
        address = self.bind(wake, reused)
        self._hosts[address] = host
        return address

    def crash(self, addresses: Iterable[str]) -> None:
        """A process is gone without a word.

        What was on its way to it is lost, or the first part of it; the rest waits at the senders. Of what it sent the
        first part still arrives.
        """
        for dead in addresses:
            for way in list(self._pipes.get(dead, {})):
                packets = list(self._packets(way, dead))
                lost = len(packets) if self._random.random() < _ALL_LOST else self._random.randint(0, len(packets))
                self.lost += lost
                self._replace(way, dead, packets[lost:])
            self._wakers.pop(dead, None)
            for way, address in list(self._ways()):
                if way[0] == dead:
                    packets = list(self._packets(way, address))
                    # What has arrived is in the receiver's process; of the rest a part may be, soon.
                    there = sum(not self._is_late(way, address, packet) for packet in packets)
                    kept = len(packets) if self._random.random() < 0.5 else self._random.randint(there, len(packets))
                    self.lost += len(packets) - kept
                    self._replace(way, address, ())
                    # Whatever happens to the connections of whoever gets the address next, the receiver has these.
                    remains = (dead, f"{way[1]}, of the dead number {len(self._remains)}")
                    self._remains.add(remains)
                    arrived = [(ARRIVED, frames) for _, frames in packets[:there]]
                    self._replace(remains, address, arrived + packets[there:kept])
            self._set_free(dead)

    def wake_all(self) -> None:
        """Have everybody look again."""
        for wake in list(self._wakers.values()):
            wake()

    def is_quiet(self) -> bool:
        """Whether nothing is on its way to anybody who listens."""
        return not any(pipes and address in self._wakers for address, pipes in self._pipes.items())

    # What a MemoryNetwork does, with hosts.

    def transmit(self, sender: str, address: str, frames: Frames, bound: int, connection: str = "") -> bool:
        """As `MemoryNetwork`, counted."""
        taken = super().transmit(sender, address, frames, bound, connection)
        if taken:
            self.sent += 1
        else:
            self.impeded.add((self._hosts[sender], self._hosts[address]))
        if self._record is not None:
            self._record("send" if taken else "full", self._hosts[sender], self._hosts[address])
        return taken

    def collect(self, address: str) -> Frames | None:
        """As `MemoryNetwork`."""
        frames = super().collect(address)
        if frames is not None and self._record is not None:
            self._record("take", self._hosts[address])
        return frames

    def unbind(self, address: str) -> None:
        """As `MemoryNetwork`; the address may be given to somebody else."""
        super().unbind(address)
        self._set_free(address)

    def cancel(self, sender: str, address: str, connection: str = "") -> None:
        """As `MemoryNetwork`; but of what had left already a part may arrive, beside what a newer connection brings."""
        packets = list(self._packets((sender, connection), address))
        super().cancel(sender, address, connection)
        if packets and self._random.random() < self._straggle:
            self.stragglers += 1
            self._pipes.setdefault(address, {})
            old = (sender, f"{connection}, closed as number {self.stragglers}")
            self._replace(old, address, packets[: self._random.randint(1, len(packets))])

    def _set_free(self, address: str) -> None:
        if address not in self._free:  # who crashes while it closes has given some back already
            self._free.append(address)

    def _ways(self) -> Iterator[tuple[Way, str]]:
        """The connections; what the dead sent is in none any more."""
        return ((way, address) for address, pipes in self._pipes.items() for way in pipes if way not in self._remains)

    def _is_cut(self, sender: str, address: str) -> bool:
        return bool(self._cut_hosts) and (self._hosts[sender], self._hosts[address]) in self._cut_hosts
