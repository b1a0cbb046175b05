"""Small packets that travel together: what a batch is on the wire, and who sends it when nobody else does.

A packet costs several times as much to hand to ZeroMQ, and to take from it, as its bytes cost to carry. Packets of one
frame that follow each other closely are therefore joined into one frame:

    magic "mb" | number of packets u16 | length of each u32, little-endian | the packets

Each keeps its envelope, so that batches are nobody's business but the driver's.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable

from maro.communication.codec import CodecError

MAGIC = b"mb"
PACKET_LIMIT = 1024
"""Packets up to this many bytes travel together; above, the frame's own cost no longer matters."""
BATCH_LIMIT = 16 * 1024
"""Bytes of packets in one batch, at most: as much as ZeroMQ writes at once, about."""
BATCH_LENGTH = 64
"""Packets in one batch, at most; the gain is nearly all there by then."""
FLUSH_AFTER_S = 0.001
"""How long a packet waits for company at most, but for the time until the interpreter lets the flusher run."""

_HEAD = struct.Struct("<2sH")


class Batch:
    """The packets that wait to be sent to one peer together; whoever adds one, adds its length to `size`."""

    __slots__ = ("packets", "size")

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.size = 0

    def __repr__(self) -> str:
        return f"Batch({len(self.packets)} packets, {self.size} bytes)"

    def frame(self) -> bytes:
        """All of it as one frame; a single packet is its own."""
        packets = self.packets
        if len(packets) == 1:
            return packets[0]
        lengths = struct.pack(f"<{len(packets)}I", *map(len, packets))
        return b"".join((_HEAD.pack(MAGIC, len(packets)), lengths, *packets))

    def clear(self) -> None:
        """Forget the packets: they were sent, or are given up."""
        self.packets.clear()
        self.size = 0


def split(frame: bytes) -> list[bytes]:
    """The packets of a frame that begins with `MAGIC`.

    Raises:
        CodecError: `foreign`: the lengths are not those of what follows.
    """
    try:
        _, count = _HEAD.unpack_from(frame)
        lengths = struct.unpack_from(f"<{count}I", frame, _HEAD.size)
    except struct.error:
        raise CodecError("foreign", f"a batch of {len(frame)} bytes is cut off") from None
    start = _HEAD.size + 4 * count
    if start + sum(lengths) != len(frame):
        raise CodecError("foreign", f"a batch of {len(frame)} bytes has packets of {sum(lengths)} bytes")
    packets = []
    for length in lengths:
        packets.append(frame[start : start + length])
        start += length
    return packets


class Flusher:
    """Sends what waits for company that does not come, in a thread that exists once something has waited.

    Args:
        flush: sends what waits, and says whether anything was there; called in the flusher's thread, so it has to lock
            out the thread that sends.
        what: names the thread.
    """

    def __init__(self, flush: Callable[[], bool], what: str) -> None:
        self._flush = flush
        self._what = what
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self.idle = True
        """Whether `wake` has to be called when something waits."""

    def wake(self) -> None:
        """Something waits."""
        self.idle = False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"flusher of {self._what}", daemon=True)
            self._thread.start()
        self._awake.set()

    def close(self) -> None:
        """End the thread; what still waits is left to the caller."""
        self._is_closed = True
        if self._thread is not None:
            self._awake.set()
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._awake.wait()
            self._awake.clear()
            while not self._is_closed:
                time.sleep(FLUSH_AFTER_S)
                if self._flush():
                    continue
                break
            if self._is_closed:
                return
