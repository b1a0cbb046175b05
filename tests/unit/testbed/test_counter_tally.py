"""The account that the learner of `counter` keeps."""

from __future__ import annotations

import pytest

from maro.testbed.workloads.counter.tally import CounterError, Note, Tally


def test_answers_close_what_was_asked() -> None:
    """By actor and number; figures are kept by actor."""
    tally = Tally(keeps=True)
    for actor in ("a", "b"):
        tally.asked(actor, 1)
    tally.take_answer("a", 1)
    assert tally.open == {("b", 1)}
    assert (tally.answered, tally.by_actor) == (1, {"a": 1})


def test_an_answer_to_what_was_not_asked_is_an_error() -> None:
    """Or one that comes twice."""
    tally = Tally(keeps=True)
    with pytest.raises(CounterError, match="a has answered request 1, which was not open"):
        tally.take_answer("a", 1)
    tally.asked("a", 1)
    tally.take_answer("a", 1)
    with pytest.raises(CounterError):
        tally.take_answer("a", 1)


def test_who_has_left_for_good_owes_no_answer_and_may_have_sent_one() -> None:
    """One request is excused, or all of an actor; an answer that was under way still comes once."""
    tally = Tally(keeps=True)
    for actor, number in (("a", 1), ("a", 2), ("b", 1), ("b", 2)):
        tally.asked(actor, number)
    tally.excuse("a")
    tally.excuse("b", 2)
    assert tally.open == {("b", 1)}
    tally.take_answer("a", 2)
    tally.take_answer("b", 2)
    for actor, number in (("a", 2), ("b", 2), ("a", 3)):
        with pytest.raises(CounterError, match=f"{actor} has answered request {number}, which was not open"):
            tally.take_answer(actor, number)


def test_notes_of_a_run_come_in_order_and_without_gaps() -> None:
    """Each run of an actor has numbers of its own, and the first that is heard may be any."""
    tally = Tally(keeps=True)
    for note in (Note("x", 3), Note("x", 4), Note("y", 1), Note("x", 5)):
        tally.take_note("a", note)
    assert tally.heard == 4
    with pytest.raises(CounterError, match="a sent note 7 of its run x after 5"):
        tally.take_note("a", Note("x", 7))


@pytest.mark.parametrize("number", [4, 5])
def test_without_the_cache_notes_may_be_missing_but_not_out_of_turn(number: int) -> None:
    """A crash takes some with it; it does not turn them round."""
    tally = Tally(keeps=False)
    tally.take_note("a", Note("x", 2))
    tally.take_note("a", Note("x", 5))
    with pytest.raises(CounterError):
        tally.take_note("a", Note("x", number))
