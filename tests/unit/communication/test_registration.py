"""The rules of registering, apart from any store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.communication.registration import History, Renewal, SupersededError, judge_renewal, succeed
from maro.utils.exception.communication_exception import RejoinBudgetError

numbers = st.integers(0, 10**16)
histories = st.builds(History, numbers, st.integers(0, 10), st.booleans())


@given(histories, numbers, numbers, st.none() | st.integers(0, 10))
def test_an_incarnation_is_younger_than_all_before(
    history: History, stored: int, now_us: int, most: int | None
) -> None:
    """Whatever the clock says, and wherever a trace of an earlier one is left."""
    try:
        new = succeed("a", history, stored, now_us, most)
    except RejoinBudgetError:
        assert most is not None
        assert history.unclean_ends + 1 > most or history.unclean_ends > most
        return
    assert new.incarnation > max(history.incarnation, stored)
    assert new.incarnation >= now_us
    assert not new.left
    assert 0 <= new.unclean_ends - history.unclean_ends <= 1
    assert most is None or new.unclean_ends <= most


def test_the_first_start_counts_as_no_rejoin() -> None:
    """Nobody ended before it; so a budget of none allows it."""
    assert succeed("a", History(), 0, 1000, 0) == History(1000, 0, left=False)


def test_only_ends_without_a_clean_leave_are_counted() -> None:
    """Leaving and coming back is free; so many crashes are allowed, and the next start is refused."""
    # Given a budget of two
    history = succeed("a", History(), 0, 1000, 2)
    # When it leaves cleanly three times
    for now in range(2000, 5000, 1000):
        history = succeed("a", History(history.incarnation, history.unclean_ends, left=True), 0, now, 2)
    assert history.unclean_ends == 0
    # And crashes twice, then that is taken
    for count in (1, 2):
        history = succeed("a", history, history.incarnation, 5000 + count, 2)
        assert history.unclean_ends == count
    # And the third crash is one too many, each time it tries
    for _ in range(2):
        with pytest.raises(RejoinBudgetError, match="'a' ended 3 times"):
            succeed("a", history, history.incarnation, 9000, 2)


def test_a_record_that_is_newer_than_the_history_ended_uncleanly() -> None:
    """The history was lost, the record was not."""
    assert succeed("a", History(5, 0, left=True), 7, 10, None).unclean_ends == 1


@given(st.integers(1, 9), st.none() | st.integers(1, 9), st.none() | st.integers(1, 9), st.integers(0, 9))
def test_a_renewal_is_held_restored_or_superseded(mine: int, lease: int | None, record: int | None, last: int) -> None:
    """Anything newer, anywhere, ends it; held is only what is there completely."""
    newest = max(lease or 0, record or 0, last)
    if newest > mine:
        with pytest.raises(SupersededError) as caught:
            judge_renewal(mine, lease, record, last)
        assert caught.value.newer == newest
        return
    judged = judge_renewal(mine, lease, record, last)
    assert (judged is Renewal.HELD) == (lease == mine and record == mine)
