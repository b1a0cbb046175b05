"""The transition table of a component's name."""

from __future__ import annotations

import itertools

import pytest

from maro.agent.states import TABLE, Happening, ImpossibleTransitionError, State, next_state


def test_whatever_its_state_a_component_that_runs_is_running() -> None:
    """What the engine shows is so, whoever did it."""
    assert {next_state(state, Happening.RUNS) for state in State} == {State.RUNNING}


def test_what_was_given_up_or_has_ended_is_never_restarted_by_an_agent() -> None:
    """There is no such move."""
    for state in (State.GIVEN_UP, State.ENDED, State.RUNNING):
        with pytest.raises(ImpossibleTransitionError, match=state.value):
            next_state(state, Happening.IS_RESTARTED)


def test_every_move_leads_to_a_state_from_which_it_may_run_again() -> None:
    """No state is a dead end; a person may always start a container."""
    for state, happening in itertools.product(State, Happening):
        after = TABLE.get((state, happening))
        assert after is None or (after, Happening.RUNS) in TABLE
