"""Which Proxies of a process are open, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from maro.communication.lifetime import ProcessBound, on_change, open_proxies

Open = Callable[[], ProcessBound]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens a Proxy, as far as this process' books go; those that a test leaves open are closed after it."""
    bounds: list[ProcessBound] = []

    def open_one() -> ProcessBound:
        bounds.append(ProcessBound(object(), lambda: None))
        return bounds[-1]

    yield open_one
    for bound in bounds:
        bound.release()


@pytest.fixture
def listening() -> Iterator[Callable[[Callable[[int], None]], None]]:
    """Adds a listener for the time of a test."""
    ends: list[Callable[[], None]] = []
    yield lambda listener: ends.append(on_change(listener))
    for end in ends:
        end()


def test_a_listener_is_told_how_many_are_open(opened: Open, listening: Callable[[Callable[[int], None]], None]) -> None:
    """At each join and each close; what is open is in the books by then."""
    # Given a listener
    told: list[tuple[int, int]] = []
    listening(lambda count: told.append((count, len(open_proxies()))))
    # When Proxies are opened and closed
    first, second = opened(), opened()
    first.release()
    second.release()
    opened()
    # Then it was told each number
    assert told == [(1, 1), (2, 2), (1, 1), (0, 0), (1, 1)]


def test_a_listener_that_has_ended_is_told_nothing(opened: Open) -> None:
    """Ending it twice is no error."""
    # Given a listener that ended, and one that goes on
    ended: list[int] = []
    told: list[int] = []
    end, end_other = on_change(ended.append), on_change(told.append)
    end()
    end()
    # When a Proxy is opened
    opened()
    end_other()
    # Then only the other one was told
    assert (ended, told) == ([], [1])


def test_who_is_told_late_is_told_again(opened: Open, listening: Callable[[Callable[[int], None]], None]) -> None:
    """A thread that acts on a number after another thread has changed it learns of the change: the last word is right.

    Here the change comes from within the listener, which is the same to it.
    """
    # Given a listener that takes so long over the second join that the first Proxy is closed meanwhile
    first = opened()
    acted: list[int] = []

    def act(count: int) -> None:
        if count == 2:
            first.release()
        acted.append(count)

    listening(act)
    # When the second joins
    opened()
    # Then the listener has acted on the old number after the new one, and on the new one again
    assert acted == [1, 2, 1]
