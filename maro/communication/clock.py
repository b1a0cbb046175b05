"""What time it is, and waiting without doing anything: for all of this package, so that a simulation can replace both.

Call these through the module (`clock.monotonic()`); a name that was imported would not follow a replacement.
"""

from __future__ import annotations

import time
from collections.abc import Callable

monotonic: Callable[[], float] = time.monotonic
"""Seconds, as `time.monotonic`."""
sleep: Callable[[float], None] = time.sleep
"""As `time.sleep`."""


def install(new_monotonic: Callable[[], float], new_sleep: Callable[[float], None]) -> None:
    """Use another clock, in the whole process, until `restore`."""
    global monotonic, sleep
    monotonic, sleep = new_monotonic, new_sleep


def restore() -> None:
    """Use the real clock again."""
    install(time.monotonic, time.sleep)
