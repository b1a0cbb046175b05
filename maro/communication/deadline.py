"""Points in time."""

from __future__ import annotations

from maro.communication import clock


class Deadline:
    """A point in time, from milliseconds of which -1 means never."""

    __slots__ = ("at_s",)

    def __init__(self, timeout_ms: float) -> None:
        self.at_s = None if timeout_ms < 0 else clock.monotonic() + timeout_ms / 1000

    @classmethod
    def in_s(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(seconds * 1000)

    def earlier(self, other: Deadline) -> Deadline:
        """Whichever comes first."""
        if self.at_s is None or (other.at_s is not None and other.at_s < self.at_s):
            return other
        return self

    def passed(self) -> bool:
        """Whether time is up."""
        return self.at_s is not None and clock.monotonic() >= self.at_s

    def left_ms(self) -> float | None:
        """Milliseconds until then; None without end."""
        return None if self.at_s is None else max(0.0, (self.at_s - clock.monotonic()) * 1000)
