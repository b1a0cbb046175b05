"""What a receiver refused: counted always, logged at a limited rate."""

from __future__ import annotations

import logging
import time
from collections import Counter

logger = logging.getLogger(__name__)


class Drops:
    """Counts dropped packets by reason; a reason is logged when it is new and then at most every `every_s` seconds."""

    def __init__(self, owner: str, every_s: float = 10.0) -> None:
        self.counts: Counter[str] = Counter()
        self._owner = owner
        self._every_s = every_s
        self._logged_at: dict[str, float] = {}

    def add(self, reason: str, text: str) -> None:
        """Count one packet dropped for `reason` (a short word); `text` says what was wrong with it."""
        self.counts[reason] += 1
        now = time.monotonic()
        if now - self._logged_at.get(reason, -self._every_s) >= self._every_s:
            self._logged_at[reason] = now
            logger.warning("%s dropped a packet (%s, %d so far): %s", self._owner, reason, self.counts[reason], text)
