"""The thread that sends what a call left behind."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator

import pytest

from maro.communication.flusher import Flusher, Pace
from maro.communication.guard import ThreadGuard
from maro.utils.exception.communication_exception import DriverSendError
from tests.support.waiting import eventually


class Work:
    """Things that wait to be sent, and the thread that sent each."""

    def __init__(self) -> None:
        self.guard = ThreadGuard("the thing")
        self.flusher = Flusher(self.flush, lambda: self.pace, self.guard, "test")
        self.pace = Pace.IDLE
        self.tries = 0
        self.has_room = True
        self.by: list[str] = []
        self.error: Exception | None = None

    def flush(self) -> None:
        assert not self.guard.acquire(False), "nobody is inside"
        self.tries += 1
        if self.error is not None:
            raise self.error
        if self.has_room:
            self.by.append(threading.current_thread().name)
            self.pace = Pace.IDLE

    def has_sent(self, count: int) -> bool:
        return len(self.by) == count

    def has_tried(self) -> bool:
        return self.tries > 0

    def leave(self, pace: Pace = Pace.MESSAGES) -> None:
        """As a call that leaves something behind."""
        with self.guard:
            self.pace = pace
            if self.flusher.pace < pace:
                self.flusher.wake(pace)


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    with made.guard:
        made.flusher.close()


@pytest.mark.parametrize("pace", [Pace.NEWS, Pace.MESSAGES])
def test_what_is_left_is_sent_without_another_call(work: Work, pace: Pace) -> None:
    """Again and again, by one thread, which did not exist before."""
    assert not any(thread.name == "maro-flusher-test" for thread in threading.enumerate())
    for count in range(1, 6):
        work.leave(pace)
        eventually(functools.partial(work.has_sent, count), what="it is sent")
    assert set(work.by) == {"maro-flusher-test"}


def test_it_sleeps_once_nothing_waits_and_wakes_again(work: Work) -> None:
    """A component that has nothing to send costs nothing."""
    work.leave()
    eventually(lambda: work.flusher.pace is Pace.IDLE, what="it sleeps")
    assert len(work.by) == 1
    work.leave()
    eventually(lambda: len(work.by) == 2, what="it is awake again")


def test_it_leaves_a_call_that_is_under_way_alone(work: Work) -> None:
    """That sends what waits itself; if it does not, the flusher does when it has ended."""
    with work.guard:
        work.pace = Pace.MESSAGES
        work.flusher.wake(Pace.MESSAGES)
        looked = threading.Event()

        def wanted() -> Pace:
            looked.set()
            return work.pace

        work.flusher._wanted = wanted
        assert looked.wait(10)
        assert work.tries == 0
    eventually(lambda: len(work.by) == 1, what="it is sent after the call")


def test_it_goes_on_trying_where_there_is_no_room(work: Work) -> None:
    """And sends once there is."""
    work.has_room = False
    work.leave()
    eventually(lambda: work.tries >= 5, what="it tries")
    assert work.by == []
    work.has_room = True
    eventually(lambda: len(work.by) == 1, what="it is sent")


def test_an_error_does_not_end_it(work: Work) -> None:
    """The next call meets the same error, and can raise it; the guard is free for that."""
    work.error = DriverSendError("no way")
    work.leave()
    eventually(lambda: work.tries >= 2, what="it tries again")
    work.error = None
    eventually(lambda: len(work.by) == 1, what="it is sent")
    with work.guard:
        pass


def test_closing_ends_it_and_leaves_the_rest() -> None:
    """From inside a call, whatever it is doing; without ever having begun, too."""
    for begins in (False, True):
        work = Work()
        work.has_room = False
        if begins:
            work.leave()
            eventually(work.has_tried, what="it tries")
        with work.guard:
            work.flusher.close()
            tries = work.tries
            assert not any(thread.name == "maro-flusher-test" for thread in threading.enumerate())
        assert work.tries == tries


def test_calls_are_never_refused_because_of_it(work: Work) -> None:
    """However often both want to be inside; and whatever is left is sent in the end."""
    for number in range(3000):
        work.leave(Pace.MESSAGES if number % 3 else Pace.NEWS)
    eventually(lambda: work.pace is Pace.IDLE, what="the last is sent")
