"""What a sender holds depends on what is unfinished, not on how much it has sent."""

from __future__ import annotations

import psutil
import pytest

from tests.support.journals import HOW_MANY
from tests.support.trials import Trial

pytestmark = pytest.mark.xdist_group("delivery")
"""Trials take turns, for each fills the machine."""

FIRST, REST = 100_000, 900_000
GROWTH_LIMIT = 20_000_000
"""Bytes. Less than 23 for each message between the two measurements; anything kept of each would take more."""


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_million_messages_leave_nothing_in_the_sender(trial: Trial) -> None:
    """Its memory is after a million messages what it was after a hundred thousand."""
    # Given a sender and a consumer
    source = trial.member("source", {"sink": 1}).component
    sink = trial.member("sink", {"source": 1}, work="count").component
    assert source.joined() and sink.joined()

    def held_after(total: int, more: int) -> int:
        """Bytes that the sender holds when so many more messages, which makes so many, have been received."""
        assert source.start("flood", to="sink", size=16, count=more)(within_s=600) == more
        (reply,) = source.ask("send", to="sink", tag=HOW_MANY)
        assert reply["payload"] == total
        return int(psutil.Process(source.process.pid).memory_info().rss)

    # When it sends a hundred thousand messages, and nine times as many more
    before = held_after(FIRST, FIRST)
    after = held_after(FIRST + REST, REST)
    # Then it holds no more than before
    print(
        f"the sender held {before / 1e6:.1f} MB after {FIRST:,} messages, {after / 1e6:.1f} MB after {FIRST + REST:,}"
    )
    assert after - before < GROWTH_LIMIT
