"""Numbered messages and broadcasts from one sender to eight receivers, which are killed at random."""

from __future__ import annotations

import random

import pytest

from tests.support.journals import ACCEPTED, RECEIVED
from tests.support.trials import Member, Trial

pytestmark = pytest.mark.xdist_group("delivery")
"""Trials take turns, for each fills the machine."""

KILLS = 10


def team(trial: Trial, receivers: int) -> tuple[Member, list[Member]]:
    """A source, and sinks that consume."""
    source = trial.member("source", {"sink": receivers})
    names = [f"sink.{number}" for number in range(1, receivers + 1)]
    return source, [trial.member("sink", {"source": 1}, name, work="consume") for name in names]


def names_of(members: list[Member]) -> list[str]:
    return [member.name for member in members]


def test_eight_receivers_are_killed_at_random(trial: Trial, dice: random.Random) -> None:
    """2,000 messages a second to all of them together: what each is due arrives there."""
    # Given a sender and eight receivers at work
    count = 16_000
    source, sinks = team(trial, 8)
    source.start("stream", to=names_of(sinks), count=count, rate=2000)
    source.start("listen")
    # When one of them is killed, then another one, maybe before the first is back, and so on
    for received in sorted(dice.sample(range(count - 1000), KILLS)):
        trial.await_count(ACCEPTED, received, "source")
        dice.choice(sinks).kill_and_restart()
    # Then all is well
    trial.await_count(ACCEPTED, count, "source")
    trial.await_all_finished()
    trial.end()
    trial.assert_delivered()


def test_a_broadcast_each_round_to_receivers_that_are_killed(trial: Trial, dice: random.Random) -> None:
    """Every round reaches all of them, whoever was dead at the time."""
    # Given a sender that broadcasts to four receivers
    rounds = 4000
    source, sinks = team(trial, 4)
    source.start("announce", to="sink", names=names_of(sinks), rounds=rounds, rate=400)
    source.start("listen")
    # When one of them is killed, then another one, and so on
    for received in sorted(dice.sample(range(rounds * 4 - 1000), KILLS // 2)):
        trial.await_count(RECEIVED, received, *names_of(sinks))
        dice.choice(sinks).kill_and_restart()
    # Then all is well
    trial.await_count(ACCEPTED, rounds * 4, "source")
    trial.await_all_finished()
    trial.end()
    trial.assert_delivered()
