"""The guard around what one thread at a time may use."""

from __future__ import annotations

import threading

import pytest

from maro.communication.guard import ThreadGuard
from maro.utils.exception.communication_exception import ProxyClosedError, ProxyThreadError


def test_it_is_handed_on_between_calls() -> None:
    """Another thread may use what nobody is using."""
    # Given a guard that this thread was inside of
    guard = ThreadGuard("the thing")
    with guard:
        pass
    entered: list[str] = []

    def use() -> None:
        with guard:
            entered.append("other")

    # When another thread enters afterwards
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    # Then nothing speaks against it, nor against coming back
    with guard:
        entered.append("own")
    assert entered == ["other", "own"]


def test_a_second_thread_is_refused_and_does_no_harm() -> None:
    """The one that was inside first goes on, and the guard works afterwards."""
    guard = ThreadGuard("the thing")
    caught: list[ProxyThreadError] = []

    def intrude() -> None:
        try:
            with guard:
                pass
        except ProxyThreadError as error:
            caught.append(error)

    with guard:
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
    with guard:
        pass
    assert len(caught) == 1
    assert "the thing" in str(caught[0])
    assert "another thread" in str(caught[0])


def test_a_call_inside_a_call_of_the_same_thread_is_refused() -> None:
    """As from a signal handler, which could find a half-done operation."""
    guard = ThreadGuard("the thing")
    with guard, pytest.raises(ProxyThreadError), guard:
        pass


def test_an_exception_leaves_the_guard_open() -> None:
    """What a call raises goes through, and the next call gets in."""
    guard = ThreadGuard("the thing")
    with pytest.raises(KeyError), guard:
        raise KeyError
    with guard:
        assert not guard.closed


def test_a_closed_one_stays_closed() -> None:
    """Every later call is told so, each time."""
    guard = ThreadGuard("the thing")
    guard.closed = True
    for _ in range(2):
        with pytest.raises(ProxyClosedError, match="the thing is closed"), guard:
            pass
