"""Numbered requests to components that are killed: every blocking call returns its replies, and the caller does
nothing for that."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.support.delivery_checker import postponed, unanswered
from tests.support.journals import ANSWERED
from tests.support.trials import Member, Trial

pytestmark = pytest.mark.xdist_group("delivery")
"""Trials take turns, for each fills the machine."""


def team(trial: Trial, workers: int, **arguments: Any) -> tuple[Member, list[Member]]:
    """An asker, and workers that answer."""
    asker = trial.member("asker", {"worker": workers})
    names = [f"worker.{number}" for number in range(1, workers + 1)]
    return asker, [trial.member("worker", {"asker": 1}, name, work="answer", **arguments) for name in names]


def names_of(members: list[Member]) -> list[str]:
    return [member.name for member in members]


def all_are_answered(trial: Trial, count: int) -> None:
    """Each request has its one reply, returned by its own call; and what is promised for all messages holds."""
    trial.await_count(ANSWERED, count, "asker")
    trial.await_all_finished()
    trial.end()
    assert trial.journals.count(ANSWERED, "asker") == count
    entries = trial.entries()
    trial.assert_delivered(*unanswered(entries), *postponed(entries))


@pytest.mark.parametrize("die", ["die_before", "die_after"])
def test_a_worker_is_killed_right_before_or_after_its_reply(trial: Trial, die: str) -> None:
    """The call goes on until the next incarnation has replied, or has the reply that was on its way."""
    # Given a worker that will be killed before, or after, its reply to the request 50
    asker, (worker,) = team(trial, 1, **{die: 50})
    asked = asker.start("ask_each", to=[worker.name], count=100)
    # When that has happened, and it starts again
    worker.await_death()
    worker.restart()
    # Then all is well
    asked()
    all_are_answered(trial, 100)


def test_a_worker_is_killed_and_its_death_is_noticed_while_a_call_waits(trial: Trial) -> None:
    """The call waits on, for a peer that is away."""
    # Given a worker that will be killed before its reply to the request 50
    asker, (worker,) = team(trial, 1, die_before=50)
    asked = asker.start("ask_each", to=[worker.name], count=100)
    worker.await_death()
    # When whoever watches over it says that it is gone, the asker has noticed, and it starts again
    trial.group.deregister(worker.name, "worker")
    trial.await_noticed(worker.name)
    worker.restart()
    # Then all is well
    asked()
    all_are_answered(trial, 100)


def test_requests_to_workers_that_are_killed_at_random(trial: Trial, dice: random.Random) -> None:
    """`send`, to four of them in turn."""
    # Given an asker and four workers at work
    count = 4000
    asker, workers = team(trial, 4)
    asked = asker.start("ask_each", to=names_of(workers), count=count)
    # When one of them is killed, then another one, and so on
    for answered in sorted(dice.sample(range(count), 6)):
        trial.await_count(ANSWERED, answered, "asker")
        dice.choice(workers).kill_and_restart()
    # Then all is well
    asked()
    all_are_answered(trial, count)


@pytest.mark.parametrize("call", ["scatter", "broadcast"])
def test_rounds_of_requests_to_workers_that_are_killed_at_random(trial: Trial, dice: random.Random, call: str) -> None:
    """`scatter` and `broadcast` wait for all of them, the dead included."""
    # Given an asker and four workers at work
    rounds = 1000
    asker, workers = team(trial, 4)
    names = names_of(workers)
    if call == "scatter":
        asked = asker.start("ask_together", to=names, rounds=rounds)
    else:
        asked = asker.start("ask_all", to="worker", names=names, rounds=rounds)
    # When one of them is killed, then another one, and so on
    for answered in sorted(dice.sample(range(4 * rounds), 6)):
        trial.await_count(ANSWERED, answered, "asker")
        dice.choice(workers).kill_and_restart()
    # Then all is well
    asked()
    all_are_answered(trial, 4 * rounds)
