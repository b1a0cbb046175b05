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


def test_a_call_waits_for_our_own_thread() -> None:
    """It is inside for a moment only, and nobody's mistake."""
    # Given our own thread, inside until a call waits
    inside, waited, order = threading.Event(), threading.Event(), []

    class Watched(ThreadGuard):
        def refuse_or_wait(self) -> None:
            waited.set()
            super().refuse_or_wait()

    guard = Watched("the thing")

    def own() -> None:
        assert guard.enter_between_calls()
        inside.set()
        waited.wait()
        order.append("own")
        guard.leave_between_calls()

    thread = threading.Thread(target=own)
    thread.start()
    inside.wait()
    # When a call comes, then it is inside after our own thread
    with guard:
        order.append("call")
    thread.join()
    assert order == ["own", "call"]


def test_our_own_thread_does_not_wait_for_a_call() -> None:
    """It comes again; and not at all where everything is closed."""
    guard = ThreadGuard("the thing")
    with guard:
        assert not guard.enter_between_calls()
    assert guard.enter_between_calls()
    guard.leave_between_calls()
    guard.closed = True
    assert not guard.enter_between_calls()


def test_a_second_thread_is_refused_while_our_own_tries() -> None:
    """Our own thread's attempts are no excuse for two of the user's."""
    guard = ThreadGuard("the thing")
    stopping = threading.Event()

    def own() -> None:
        while not stopping.is_set():
            assert not guard.enter_between_calls()

    refused: list[ProxyThreadError] = []

    def intrude() -> None:
        for _ in range(100):
            with pytest.raises(ProxyThreadError) as caught, guard:
                pass
            refused.append(caught.value)

    with guard:
        threads = [threading.Thread(target=own), threading.Thread(target=intrude)]
        for thread in threads:
            thread.start()
        threads[1].join()
        stopping.set()
        threads[0].join()
    assert len(refused) == 100


def test_no_call_is_refused_however_often_our_own_thread_comes_and_goes() -> None:
    """Between its word that it wants to be inside, its try, and its word that it has left."""
    guard = ThreadGuard("the thing")
    stopping, entered = threading.Event(), 0

    def own() -> None:
        while not stopping.is_set():
            if guard.enter_between_calls():
                guard.leave_between_calls()

    thread = threading.Thread(target=own)
    thread.start()
    try:
        for _ in range(20_000):
            with guard:
                entered += 1
    finally:
        stopping.set()
        thread.join()
    assert entered == 20_000
