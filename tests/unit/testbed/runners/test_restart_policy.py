"""The restart policies of processes are those of the Docker engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.testbed.runners.restart_policy import (
    FIRST_PAUSE_S,
    GOOD_RUN_S,
    LONGEST_PAUSE_S,
    RestartPolicy,
    as_docker_has_it,
    pause_before_restart,
)


@pytest.mark.parametrize(
    ("policy", "exit_code", "restarts", "again"),
    [
        ("no", 1, 0, False),
        ("no", 0, 0, False),
        ("on-failure", 0, 0, False),
        ("on-failure", 137, 1000, True),
        ("on-failure:2", 64, 1, True),
        ("on-failure:2", 64, 2, False),
        ("on-failure:2", 0, 0, False),
        ("always", 0, 1000, True),
        ("unless-stopped", 0, 0, True),
        ("unless-stopped", 1, 7, True),
    ],
)
def test_whether_a_process_is_started_again(policy: str, exit_code: int, restarts: int, again: bool) -> None:
    """By the policy, the exit code, and how often it was."""
    assert RestartPolicy.parse(policy).starts_again(exit_code, restarts) is again


def test_pauses_double_up_to_a_bound() -> None:
    """As the engine's do, but for the bound."""
    pauses = [0.0]
    for _ in range(7):
        pauses.append(pause_before_restart(pauses[-1], ran_s=0.5))
    assert pauses[1:] == [0.1, 0.2, 0.4, 0.8, 1.6, 1.6, 1.6]


@given(st.floats(0, LONGEST_PAUSE_S), st.floats(GOOD_RUN_S, 1e9))
def test_pauses_begin_anew_after_a_good_run(last_pause_s: float, ran_s: float) -> None:
    """However long the last one was."""
    assert pause_before_restart(last_pause_s, ran_s) == FIRST_PAUSE_S


def test_a_signal_becomes_the_exit_code_that_docker_gives_it() -> None:
    """128 and the signal's number."""
    assert [as_docker_has_it(code) for code in (0, 1, 65, -9, -15)] == [0, 1, 65, 137, 143]
