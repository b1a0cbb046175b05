"""The checker of simulated runs, on histories made by hand: it sees what must not be, and nothing else."""

from __future__ import annotations

from tests.simulation.checker import GRACE_S, judge
from tests.simulation.history import End, Handed, History, Key, Sent, Start

SOURCE, SINK, NEXT = Start("source", 1), Start("sink", 1), Start("sink", 2)


class Story:
    """Writes a history, a second for each line."""

    def __init__(self) -> None:
        self.history = History()
        self.now = 0.0
        for start in (SOURCE, SINK):
            self.history.registers(start, self.now)

    def sends(self, number: int, **details: bool) -> Key:
        self.now += 1
        key = Key(SOURCE, number, "sink")
        sent = Sent(self.now, details.get("asks", False), details.get("blocks", False))
        self.history.sending([key], sent)
        self.history.accepted([key], self.now)
        return key

    def hands(self, key: Key, to: Start = SINK, message_id: str = "") -> None:
        self.now += 1
        handed = Handed(self.now, to, key, message_id or f"{key.sender}{key.number}")
        self.history.hand(handed)
        self.history.received.append(handed)

    def finishes(self, key: Key, by: Start = SINK) -> None:
        self.now += 1
        self.history.finished[by, key] = self.now

    def ends(self, start: Start, how: str = "crashed") -> None:
        self.now += 1
        self.history.ends[start] = End(self.now, how)

    def starts(self, start: Start) -> None:
        self.now += 1
        self.history.registers(start, self.now)

    def verdict(self, *, lossless: bool = True) -> list[str]:
        return [violation.kind for violation in judge(self.history, lossless=lossless)]


def test_a_run_without_fault_is_fine() -> None:
    """Sent, handed, finished, in order."""
    story = Story()
    for number in (1, 2, 3):
        key = story.sends(number)
        story.hands(key)
        story.finishes(key)
    assert story.verdict() == []


def test_what_is_not_handed_out_is_lost() -> None:
    """Where nothing may be; it counts only if its call returned without an error."""
    story = Story()
    key = story.sends(1)
    assert story.verdict() == ["lost"]
    assert story.verdict(lossless=False) == []
    story.history.sent[key].accepted_at = None
    assert story.verdict() == []


def test_a_senders_crash_loses_what_it_alone_held() -> None:
    """So does a receiver that leaves for good; one that crashes does not."""
    for start, how, verdict in ((SOURCE, "crashed", []), (SINK, "left", []), (SINK, "crashed", ["lost"])):
        story = Story()
        story.sends(1)
        story.ends(start, how)
        assert story.verdict() == verdict, (start, how)


def test_what_a_crash_interrupted_comes_again() -> None:
    """Handed out but not finished, it goes to the next incarnation."""
    story = Story()
    key = story.sends(1)
    story.hands(key)
    story.ends(SINK)
    story.starts(NEXT)
    assert story.verdict() == ["lost"]
    story.hands(key, NEXT)
    assert story.verdict() == []


def test_what_was_finished_does_not_come_again() -> None:
    """If its sender could know: not where the receiver crashed at once, nor where something was wrong between them."""
    story = Story()
    key = story.sends(1)
    story.hands(key)
    story.finishes(key)
    finished = story.now
    story.now += GRACE_S
    story.ends(SINK)
    story.starts(NEXT)
    assert story.verdict() == []
    story.hands(key, NEXT)
    assert story.verdict() == ["handed again"]
    story.history.disturbances.append((finished, finished + 0.1, frozenset({"sink"})))
    assert story.verdict() == []
    story.history.disturbances[0] = (finished, finished + 0.1, frozenset({"somebody else"}))
    assert story.verdict() == ["handed again"]
    story.history.ends[SINK] = End(finished + GRACE_S / 2, "crashed")
    assert story.verdict() == []


def test_a_request_that_is_waited_for_may_come_again() -> None:
    """Until there is a reply; and there has to be one."""
    story = Story()
    key = story.sends(1, asks=True, blocks=True)
    story.hands(key)
    story.finishes(key)
    story.now += 2 * GRACE_S
    story.ends(SINK)
    story.starts(NEXT)
    story.hands(key, NEXT)
    assert story.verdict() == ["unanswered"]
    story.history.sent[key].answered_at = story.now
    assert story.verdict() == []


def test_nothing_comes_twice_to_one_incarnation() -> None:
    """Whatever its number says, a message is known by its id."""
    story = Story()
    key = story.sends(1)
    story.hands(key)
    story.hands(key)
    assert set(story.verdict()) == {"repeated", "disordered"}
    assert set(story.verdict(lossless=False)) == {"repeated", "disordered"}


def test_the_order_of_a_sender_is_kept() -> None:
    """Within an incarnation; the next one begins again with what was not finished."""
    story = Story()
    first, second = story.sends(1), story.sends(2)
    story.hands(first)
    story.hands(second)
    story.ends(SINK)
    story.starts(NEXT)
    story.hands(first, NEXT)
    story.hands(second, NEXT)
    assert story.verdict() == []
    third, fourth = story.sends(3), story.sends(4)
    story.hands(fourth, NEXT)
    story.hands(third, NEXT)
    assert story.verdict() == ["disordered"]


def test_nobody_gets_what_nobody_sent() -> None:
    """Such as what was for somebody else."""
    story = Story()
    story.hands(Key(SOURCE, 7, "sink"))
    assert story.verdict() == ["phantom"]


def test_what_was_passed_on_is_not_owed_any_more() -> None:
    """Once the next stage has it; until then a crash in the middle brings it again."""
    story = Story()
    key = story.sends(1)
    story.hands(key)
    onward = Key(SINK, 1, "end")
    story.history.sending([onward], Sent(story.now, False, False, origin=key))
    story.history.accepted([onward], story.now)
    story.ends(SINK)
    story.starts(NEXT)
    assert story.verdict() == ["lost"]
    story.history.registers(Start("end", 1), story.now)
    story.hands(onward, Start("end", 1))
    assert story.verdict() == []


def test_what_a_predecessor_sends_comes_to_nobody_who_knows_its_successor() -> None:
    """Before that it is fine, and for whoever has not learnt of the successor."""
    for knows_before, at_whom, verdict in (
        (True, SINK, ["split brain"]),
        (False, SINK, []),
        (True, NEXT, []),
    ):
        story = Story()
        story.history.incarnations[SOURCE] = 10
        if knows_before:
            story.history.knows(at_whom, "source", 11, story.now)
        key = story.sends(1)
        story.history.knows(SINK, "source", 11, story.now + 0.5)
        story.hands(key)
        assert story.verdict() == verdict
