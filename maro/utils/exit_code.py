"""The exit codes of a component's process, which tell whatever restarts it what to do next.

Only an entry point exits with them; a library function raises.
"""

from __future__ import annotations

from typing import Final

from maro.utils.exception.communication_exception import (
    ComponentFencedError,
    ConditionalEventSyntaxError,
    DriverTypeError,
    PeersMissError,
    PeersRejoinTimeout,
    RejoinBudgetError,
)

SUCCESS_EXIT_CODE: Final = 0
"""A clean end: the component has left, and stays away."""
FAILURE_EXIT_CODE: Final = 1
"""A crash: worth a restart."""
NON_RESTART_EXIT_CODE: Final = 64
"""The component can't work however often it is started: do not restart it."""
KILL_ALL_EXIT_CODE: Final = 65
"""The group can't go on without peers that did not come back: end the whole job."""

# In order: `RejoinBudgetError` is a `PeersRejoinTimeout`, and ends only the component that ran out of restarts.
_CODES: tuple[tuple[tuple[type[BaseException], ...], int], ...] = (
    (
        (RejoinBudgetError, ComponentFencedError, DriverTypeError, PeersMissError, ConditionalEventSyntaxError),
        NON_RESTART_EXIT_CODE,
    ),
    ((PeersRejoinTimeout,), KILL_ALL_EXIT_CODE),
    ((KeyboardInterrupt,), SUCCESS_EXIT_CODE),
)


def exit_code_for(error: BaseException) -> int:
    """The exit code of a process that `error` ended.

    A `SystemExit` keeps what the program asked for, as the interpreter reads it: an integer as it is, none as success,
    anything else as a failure. An interrupt (SIGINT) is a request to leave and so a clean end.
    """
    if isinstance(error, SystemExit):
        if error.code is None:
            return SUCCESS_EXIT_CODE
        return error.code if isinstance(error.code, int) else FAILURE_EXIT_CODE
    for classes, code in _CODES:
        if isinstance(error, classes):
            return code
    return FAILURE_EXIT_CODE
