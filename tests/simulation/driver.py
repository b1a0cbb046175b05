"""The driver of a simulation: waits by switching to the scheduler, and is where a process may be interrupted."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit

from maro.communication.driver.framed_driver import BROADCAST, UNICAST
from maro.communication.driver.memory_driver import MemoryDriver
from maro.communication.packets import Buffer

if TYPE_CHECKING:
    from tests.simulation.node import Node

_ROUNDING_S = 1e-6
"""Added to every wait: a time that is rounded down would be waited for again and again."""


class Nowhere:
    """The network as the dead see it: what they do has no effect, and nothing comes."""

    def transmit(self, *_: Any) -> bool:
        """Taken, and gone."""
        return True

    def has_room(self, *_: Any) -> bool:
        """Always."""
        return True

    def holds_back(self, *_: Any) -> bool:
        """Never."""
        return False

    def collect(self, *_: Any) -> None:
        """Nothing."""

    def next_arrival_s(self, *_: Any) -> None:
        """Never."""

    def cancel(self, *_: Any) -> None:
        """Without effect."""

    let_go = unbind = cancel


class SimDriver(MemoryDriver):
    """A `MemoryDriver` in simulated time.

    Args:
        component_type: of the component.
        node: whose it is; has the network.
        parameters: as for `MemoryDriver`.
    """

    def __init__(self, component_type: str, node: Node, **parameters: Any) -> None:
        self._node = node
        self._readable = self._writable = False
        super().__init__(component_type, _Binder(node), **parameters)  # type: ignore[arg-type] # binds, and no more
        self._network = node.world.network
        node.driver = self

    def wait(
        self,
        timeout_ms: float | None,
        wake_fd: int | None = None,
        writable: Collection[str] = (),
        readable: bool = True,
    ) -> None:
        """As `MemoryDriver`, in simulated time."""
        node = self._node
        if node.dead:
            raise GreenletExit
        node.look()
        now = node.scheduler.now
        until = math.inf if timeout_ms is None else now + timeout_ms / 1000 + _ROUNDING_S
        if (wake_fd is not None and node.has_news()) or (writable and any(map(self._has_room, writable))):
            until = now
            node.idle_waits += 1
        elif readable and self._rest_of_packet:
            until = now
        elif readable:
            until = min(until, now + self._next_arrival_s())
        self._readable, self._writable = readable, bool(writable)
        node.app.wait(until)
        self._readable = self._writable = False

    def send_frames(self, peer: str, frames: Sequence[Buffer]) -> bool:
        """As `MemoryDriver`; another process may run before."""
        node = self._node
        node.fuse -= 1
        if node.fuse <= 0:
            node.interrupt()
        taken = super().send_frames(peer, frames)
        if taken:
            node.idle_waits = 0
        return taken

    def take(self) -> Any:
        """As `MemoryDriver`; another process may run before."""
        node = self._node
        node.fuse -= 1
        if node.fuse <= 0:
            node.interrupt()
        message = super().take()
        if message is not None:
            node.idle_waits = 0
        return message

    def crash(self) -> None:
        """Be cut off from everything, as a process that is no more."""
        network, self._network = self._network, Nowhere()  # type: ignore[assignment]
        if isinstance(network, Nowhere):
            return
        network.crash(self._address.values())  # type: ignore[attr-defined]
        self._wake_receiver.close()
        self._wake_sender.close()

    def _next_arrival_s(self) -> float:
        times = [self._network.next_arrival_s(self._address[kind]) for kind in (UNICAST, BROADCAST)]
        return min((each for each in times if each is not None), default=math.inf)

    def _wake(self) -> None:
        app = self._node.app
        if app.waiting and not app.ended:
            if self._writable:
                app.wake()
            elif self._readable:
                app.wake(self._node.scheduler.now + self._next_arrival_s())


class _Binder:
    """Lets the constructor of a driver bind addresses of a host."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def bind(self, wake: Any) -> str:
        """An address of the node."""
        return self._node.world.network.bind_for(self._node.name, wake)
