"""What the agent asks and tells Redis, which may be away."""

from __future__ import annotations

import pytest

from maro.agent.backlog import Backlog
from maro.communication.registration import StoreUnavailableError


class World:
    """A Redis that may be away, what was written there, and the time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.is_away = False
        self.asked = 0
        self.written: list[str] = []
        self.backlog = Backlog(lambda: self.now_s)

    def ask(self) -> str:
        return self.backlog.ask(self._answer, "otherwise")

    def write(self, about: str, text: str) -> None:
        def write() -> None:
            self._answer()
            self.written.append(text)

        self.backlog.write(about, write)

    def _answer(self) -> str:
        self.asked += 1
        if self.is_away:
            raise StoreUnavailableError("away")
        return "answer"


@pytest.fixture
def world() -> World:
    return World()


def test_an_absent_redis_is_not_asked_each_time(world: World) -> None:
    """Only after pauses that grow, up to a limit."""
    # Given a Redis that is away
    world.is_away = True
    assert world.ask() == "otherwise"
    # When it is asked again at once, Then that costs nothing
    assert [world.ask() for _ in range(10)] == ["otherwise"] * 10
    assert world.asked == 1
    # And the pauses grow
    pauses = []
    for _ in range(8):
        pauses.append(world.backlog.retry_at_s - world.now_s)
        world.now_s = world.backlog.retry_at_s
        world.ask()
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-2] == pauses[-1]
    # And once it is back, it is asked each time
    world.is_away, world.now_s = False, world.backlog.retry_at_s
    assert [world.ask(), world.ask()] == ["answer"] * 2


def test_what_could_not_be_written_is_written_once_redis_is_back(world: World) -> None:
    """In order, and of what is about the same thing only the last."""
    # Given writes that came while Redis was away
    world.is_away = True
    for about, text in (("a", "a1"), ("b", "b1"), ("a", "a2")):
        world.write(about, text)
    assert (world.written, world.backlog.is_empty) == ([], False)
    # When it is back
    world.is_away, world.now_s = False, world.backlog.retry_at_s
    world.backlog.flush()
    # Then they are written
    assert (world.written, world.backlog.is_empty) == (["b1", "a2"], True)
    # And later ones at once
    world.write("a", "a3")
    assert world.written[-1] == "a3"
