"""The state of one component, by name: the transition table, and nothing else."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Of a component's name, which outlives its containers."""

    RUNNING = "running"
    FAILED = "failed"
    """It crashed, and is not about to be started: it may not rejoin, or the next attempt waits."""
    RESTARTING = "restarting"
    """It is being started again, or replaced."""
    GIVEN_UP = "given up"
    """Its budget is spent, or it said that it must not be started again."""
    ENDED = "ended"
    """It was asked to end, or came to its own end: nothing has failed, and nothing comes back."""


class Happening(Enum):
    """What may happen to a component."""

    RUNS = "runs"
    ENDS = "ends"
    CRASHES = "crashes"
    IS_RESTARTED = "is restarted"
    """By this agent."""
    IS_GIVEN_UP = "is given up"


_S, _H = State, Happening
TABLE: dict[tuple[State, Happening], State] = {
    (_S.RUNNING, _H.RUNS): _S.RUNNING,
    (_S.RUNNING, _H.ENDS): _S.ENDED,
    (_S.RUNNING, _H.CRASHES): _S.FAILED,
    (_S.RUNNING, _H.IS_GIVEN_UP): _S.GIVEN_UP,
    # Somebody else may start it, or remove its container.
    (_S.FAILED, _H.RUNS): _S.RUNNING,
    (_S.FAILED, _H.ENDS): _S.ENDED,
    (_S.FAILED, _H.CRASHES): _S.FAILED,
    (_S.FAILED, _H.IS_RESTARTED): _S.RESTARTING,
    (_S.FAILED, _H.IS_GIVEN_UP): _S.GIVEN_UP,
    (_S.RESTARTING, _H.RUNS): _S.RUNNING,
    (_S.RESTARTING, _H.ENDS): _S.ENDED,
    # Starting failed, or it ended before it was seen to run.
    (_S.RESTARTING, _H.CRASHES): _S.FAILED,
    (_S.RESTARTING, _H.IS_GIVEN_UP): _S.GIVEN_UP,
    # Only a person starts these again, and then they are watched like any other.
    (_S.GIVEN_UP, _H.RUNS): _S.RUNNING,
    (_S.GIVEN_UP, _H.ENDS): _S.GIVEN_UP,
    (_S.ENDED, _H.RUNS): _S.RUNNING,
    (_S.ENDED, _H.ENDS): _S.ENDED,
}
"""What is not in it can't happen: one that is down for good can neither crash nor be restarted by an agent."""


class ImpossibleTransitionError(Exception):
    """Something was said to have happened to a component that can't, in the state it is in: a fault of the agent."""


def next_state(state: State, happening: Happening) -> State:
    """The state after something has happened.

    Raises:
        ImpossibleTransitionError: it can't happen in this state.
    """
    try:
        return TABLE[state, happening]
    except KeyError:
        raise ImpossibleTransitionError(f"a component that is {state.value} {happening.value}") from None
