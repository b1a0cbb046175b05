"""What ends a process decides the code that it ends with."""

from __future__ import annotations

import pytest

from maro.utils import exit_code
from maro.utils.exception.communication_exception import (
    ComponentFencedError,
    ConditionalEventSyntaxError,
    DriverSendError,
    DriverTypeError,
    PeersMissError,
    PeersRejoinTimeout,
    RedisConnectionError,
    RejoinBudgetError,
)
from maro.utils.exit_code import exit_code_for


def test_the_codes_are_what_restart_policies_rely_on() -> None:
    """Given the names, when they are read, then they are the numbers that are written into restart policies."""
    assert exit_code.SUCCESS_EXIT_CODE == 0
    assert exit_code.FAILURE_EXIT_CODE == 1
    assert exit_code.NON_RESTART_EXIT_CODE == 64
    assert exit_code.KILL_ALL_EXIT_CODE == 65


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PeersRejoinTimeout(), 65),
        (RejoinBudgetError(), 64),
        (ComponentFencedError(), 64),
        (DriverTypeError(), 64),
        (PeersMissError(), 64),
        (ConditionalEventSyntaxError(), 64),
        (DriverSendError(), 1),
        (RedisConnectionError(), 1),
        (ValueError("user code"), 1),
        (MemoryError(), 1),
        (GeneratorExit(), 1),
        (KeyboardInterrupt(), 0),
        (SystemExit(), 0),
        (SystemExit(0), 0),
        (SystemExit(7), 7),
        (SystemExit("usage: ..."), 1),
    ],
    ids=repr,
)
def test_an_error_has_its_code(error: BaseException, code: int) -> None:
    """Given what ended a process, when its exit code is asked for, then it is the documented one."""
    assert exit_code_for(error) == code


def test_a_users_subclass_counts_as_what_it_is() -> None:
    """Given a user's own kind of a known error, when its exit code is asked for, then it is that of its base."""

    class NoActors(PeersRejoinTimeout):
        pass

    assert exit_code_for(NoActors("no actors")) == 65
