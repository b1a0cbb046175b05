"""Numbered messages that a stage passes on from a source to a sink, while that stage is killed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.journals import ACCEPTED, OFFERED, RECEIVED
from tests.support.trials import BOUND, Member, Trial

pytestmark = pytest.mark.xdist_group("delivery")
"""Trials take turns, for each fills the machine."""


def pipeline(trial: Trial, **arguments: Any) -> tuple[Member, Member, Member]:
    """The source, the stage, and the sink, which consumes."""
    source = trial.member("source", {"stage": 1})
    stage = trial.member("stage", {"source": 1, "sink": 1}, work="pass_on", to="sink", **arguments)
    sink = trial.member("sink", {"stage": 1}, work="consume")
    return source, stage, sink


def all_get_through(trial: Trial, count: int) -> None:
    """What the source sent has come to the sink, and what is promised for all messages holds."""
    trial.await_count(ACCEPTED, count, "source")
    trial.await_all_finished(ends_at="sink")
    trial.end()
    trial.assert_delivered(ends_at="sink")


def test_the_middle_is_killed_three_times(trial: Trial) -> None:
    """What it had not passed on comes again; the sink sees each message once from each incarnation of it, in order."""
    # Given a pipeline at work
    count = 12_000
    source, stage, _ = pipeline(trial)
    source.start("stream", to=["stage"], count=count, rate=1500)
    source.start("listen")
    # When its middle is killed at work, soon after that while it catches up, and at work again
    trial.await_count(RECEIVED, 3000, "sink")
    stage.kill_and_restart()
    trial.await_more(RECEIVED, 50, "sink")
    stage.kill_and_restart()
    trial.await_count(RECEIVED, 8000, "sink")
    stage.kill_and_restart()
    # Then all is well
    all_get_through(trial, count)


@pytest.mark.parametrize("die", ["die_before", "die_after"])
def test_the_middle_is_killed_right_before_or_after_it_passes_a_message_on(trial: Trial, die: str) -> None:
    """Either way the message gets through."""
    # Given a stage that will be killed before, or after, it passes the message 500 on
    source, stage, _ = pipeline(trial, **{die: 500})
    source.start("stream", to=["stage"], count=1000, rate=1500)
    source.start("listen")
    # When that has happened, and it starts again
    stage.await_death()
    stage.restart()
    # Then all is well
    all_get_through(trial, 1000)


def test_the_middle_is_killed_with_much_in_its_hands(trial: Trial) -> None:
    """What it had passed on, but not brought to the sink, dies with it, and comes again from the source."""
    # Given a pipeline whose sink stands still, while messages pile up: more than the connection itself holds
    count = 1500
    source, stage, sink = pipeline(trial)
    source.start("stream", to=["stage"], count=count, rate=500, size=50_000)
    source.start("listen")
    trial.await_count(RECEIVED, 100, "sink")
    sink.component.pause()
    # As many as its cache holds may have piled up already, and more never do.
    trial.await_count(OFFERED, trial.journals.count(RECEIVED, "sink") + BOUND // 2, "stage")
    # When the middle is killed, and the sink goes on
    stage.kill_and_restart()
    sink.component.resume()
    # Then all is well
    all_get_through(trial, count)
