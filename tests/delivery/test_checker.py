"""The checker, and the journals that it reads: good histories pass, and each broken promise is found and named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.delivery_checker import (
    Fault,
    came_back,
    came_back_from_beyond,
    delivery_faults,
    postponed,
    report,
    unanswered,
)
from tests.support.journals import (
    ACCEPTED,
    ANSWERED,
    FINISHED,
    OFFERED,
    POSTPONED,
    RECEIVED,
    TOLD,
    Entry,
    Journal,
    Journals,
    Numbered,
)
from tests.support.programs import ROOT

SOURCE, FIRST, SECOND = 100, 200, 300
"""Incarnations: of the sender, and two of the receiver. Everything below happens at 250 if nothing else is said."""


def sent(*numbers: int, to: str = "sink") -> list[Entry]:
    """The sender's lines."""
    return [
        Entry(kind, "source", SOURCE, 250, Numbered("source", number), to)
        for number in numbers
        for kind in (OFFERED, ACCEPTED)
    ]


def handed(incarnation: int, *numbers: int, finished: bool = True, **more: Any) -> list[Entry]:
    """The receiver's lines: each message handed out, and finished."""
    kinds = (RECEIVED, FINISHED) if finished else (RECEIVED,)
    fields = {"peer": "source", "peer_incarnation": SOURCE, **more}
    return [
        Entry(kind, "sink", incarnation, 250, Numbered("source", number), **(fields if kind == RECEIVED else {}))
        for number in numbers
        for kind in kinds
    ]


def kinds(faults: Iterable[Fault]) -> list[str]:
    return [fault.kind for fault in faults]


def test_a_history_without_a_crash_is_good() -> None:
    """Everything came once, in order."""
    assert delivery_faults(sent(0, 1, 2) + handed(FIRST, 0, 1, 2), bound=1) == []


def test_what_was_in_hand_at_a_crash_may_come_again() -> None:
    """So may what was finished without the sender having heard of it, in the same order."""
    history = sent(0, 1, 2) + handed(FIRST, 0) + handed(FIRST, 1, finished=False) + handed(SECOND, 0, 1, 2)
    assert delivery_faults(history, bound=3) == []


def test_a_message_that_never_came_is_lost() -> None:
    """Whoever was told that it is on its way was told wrong."""
    (fault,) = delivery_faults(sent(0, 1, 2) + handed(FIRST, 0, 2))
    assert fault == Fault("lost", "source's 1 for sink was handed out 0 times, and never finished")


def test_a_message_that_died_with_its_receiver_is_lost() -> None:
    """It was handed out, but nobody was ever done with it."""
    history = sent(0, 1) + handed(FIRST, 0, finished=False) + handed(SECOND, 1)
    assert delivery_faults(history) == [Fault("lost", "source's 0 for sink was handed out 1 times, and never finished")]


def test_a_message_that_came_to_somebody_else_is_lost_and_a_phantom() -> None:
    """Each message is for one receiver."""
    history = sent(0, to="sink.2") + handed(FIRST, 0)
    assert kinds(delivery_faults(history)) == ["lost", "phantom"]


def test_a_message_that_was_only_offered_may_be_missing() -> None:
    """The sending call did not return, so nothing was promised."""
    assert delivery_faults([entry for entry in sent(0) if entry.kind == OFFERED]) == []


def test_a_message_that_is_handed_twice_to_one_incarnation_is_repeated() -> None:
    """Also long after, and in the same place of the order."""
    assert kinds(delivery_faults(sent(0, 1) + handed(FIRST, 0, 0, 1))) == ["repeated"]


def test_a_message_that_comes_after_a_later_one_is_reordered() -> None:
    """By one incarnation, to one incarnation."""
    assert kinds(delivery_faults(sent(0, 1, 2) + handed(FIRST, 0, 2, 1))) == ["reordered"]


def test_a_message_that_nobody_sent_is_a_phantom() -> None:
    """Or that another incarnation of the sender had sent."""
    assert kinds(delivery_faults(handed(FIRST, 7))) == ["phantom"]
    assert kinds(delivery_faults(sent(7) + handed(FIRST, 7, peer_incarnation=99))) == ["phantom"]


def test_another_payload_is_damage() -> None:
    """A message with the right number and wrong bytes."""
    assert kinds(delivery_faults(sent(0) + handed(FIRST, 0, intact=False))) == ["damaged"]


@pytest.mark.parametrize(("told_at", "expected"), [(SECOND - 1, ["came back"]), (SECOND + 1, [])])
def test_a_message_that_was_known_to_be_finished_must_not_come_back(told_at: int, expected: list[str]) -> None:
    """Unless the sender got to know it only after the next incarnation had begun."""
    told = Entry(TOLD, "source", SOURCE, told_at, Numbered("source", 0), "sink")
    history = [*sent(0, 1), *handed(FIRST, 0), told, *handed(SECOND, 0, 1)]
    assert kinds(came_back(history)) == expected
    assert kinds(delivery_faults(history)) == expected


@pytest.mark.parametrize(("bound", "expected"), [(4, ["came back"]), (5, [])])
def test_a_message_that_the_sender_can_not_have_kept_must_not_come_back(bound: int, expected: list[str]) -> None:
    """That it could send 24 proves that 20 was finished, if it keeps four at most. Numbers may have gaps."""
    numbers = [10, 12, 14, 16, 18, 20, 21, 22, 23, 24]
    history = sent(*numbers) + handed(FIRST, *numbers) + handed(SECOND, *numbers[5:])
    assert kinds(came_back_from_beyond(history, bound)) == expected


def test_what_is_passed_on_has_to_reach_the_end() -> None:
    """A stage that died may pass the same message on again under its next incarnation."""
    message = Numbered("source", 0)

    def passed_on(stage: int) -> list[Entry]:
        return [
            Entry(RECEIVED, "stage", stage, 250, message, "source", SOURCE),
            Entry(OFFERED, "stage", stage, 250, message, "sink"),
        ]

    def arrived(stage: int) -> list[Entry]:
        return [
            Entry(RECEIVED, "sink", FIRST, 250, message, "stage", stage),
            Entry(FINISHED, "sink", FIRST, 250, message),
        ]

    good = sent(0, to="stage") + passed_on(120) + passed_on(130) + arrived(120) + arrived(130)
    assert delivery_faults(good, ends_at="sink") == []
    assert kinds(delivery_faults(sent(0, to="stage") + passed_on(120), ends_at="sink")) == ["lost"]
    assert kinds(delivery_faults(good + arrived(130), ends_at="sink")) == ["repeated"]


def test_each_request_has_one_reply() -> None:
    """None, two, or one to what was not asked, are faults; so is a call that returned without its reply."""

    def line(kind: str, number: int) -> Entry:
        return Entry(kind, "source", SOURCE, 250, Numbered("source", number), "sink")

    asked = [line(OFFERED, 0), line(OFFERED, 1)]
    assert unanswered([*asked, line(ANSWERED, 0), line(ANSWERED, 1)]) == []
    assert kinds(unanswered([*asked, line(ANSWERED, 0)])) == ["unanswered"]
    assert kinds(unanswered([*asked, line(ANSWERED, 0), line(ANSWERED, 1), line(ANSWERED, 0)])) == ["unanswered"]
    assert kinds(unanswered([*asked, *(line(ANSWERED, number) for number in range(3))])) == ["unanswered"]
    assert kinds(postponed([*asked, line(POSTPONED, 1)])) == ["postponed"]


def test_a_report_counts_all_and_shows_some() -> None:
    """Twenty thousand lost messages are one fault to read."""
    text = report(delivery_faults(sent(*range(20_000))))
    assert text.startswith("20000 x lost:")
    assert len(text.splitlines()) == 10
    assert report([]) == ""


@given(crashes=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=4), spoilt=st.integers(0, 29))
def test_one_message_less_is_always_found(crashes: list[tuple[int, int]], spoilt: int) -> None:
    """Whatever crashes there were: the history is good, and is not without the finishing of any one message."""
    # Given a receiver that starts again at what it has not finished, or that the sender has not heard of
    history, floor = sent(*range(30)), 0
    incarnation = FIRST
    for more, unheard in crashes:
        history += handed(incarnation, *range(floor, min(30, floor + more)))
        floor = max(floor, floor + more - unheard)
        incarnation += 1
    history += handed(incarnation, *range(floor, 30))
    # Then that is good
    assert delivery_faults(history, bound=30) == []
    # And where a message was never finished, that is found
    without = [entry for entry in history if entry.kind != FINISHED or entry.message.number != spoilt]
    assert kinds(delivery_faults(without, bound=30)) == ["lost"]


def test_a_journal_is_read_while_it_grows(tmp_path: Path) -> None:
    """What is written is there at the next look; half a line is left for later."""
    # Given a journal with a line, and half of another one
    journal, journals = Journal(tmp_path, "sink", FIRST), Journals(tmp_path)
    journal.write(RECEIVED, Numbered("source", 0), peer="source", peer_incarnation=SOURCE)
    path = tmp_path / f"sink@{FIRST}.journal"
    line = json.dumps({"kind": FINISHED, "at_ns": 1, "message": ["source", 0]})
    with path.open("a") as file:
        file.write(line[:20])
    # When it is read, Then the line is there
    (entry,) = journals.entries()
    assert entry._replace(at_ns=250) == handed(FIRST, 0, finished=False)[0]
    # And when the other one is complete, it is there as well
    with path.open("a") as file:
        file.write(line[20:] + "\n")
    assert [entry.kind for entry in journals.entries()] == [RECEIVED, FINISHED]
    assert journals.count(FINISHED, "sink") == 1


def test_journals_tell_what_is_unfinished(tmp_path: Path) -> None:
    """By receiver; where messages are passed on, by who gets them in the end."""
    # Given a message to two receivers, one of which has finished it
    source, sink = Journal(tmp_path, "source", SOURCE), Journal(tmp_path, "sink", FIRST)
    for peer in ("sink", "sink.2"):
        source.write(ACCEPTED, Numbered("source", 0), peer=peer)
    sink.write(FINISHED, Numbered("source", 0))
    # Then the other one's is unfinished, or none where the first is the end
    journals = Journals(tmp_path)
    assert journals.unfinished() == 1
    assert journals.unfinished(ends_at="sink") == 0


def test_a_kill_leaves_what_was_written(tmp_path: Path) -> None:
    """A line is with the operating system when the call has returned."""
    # Given a process that writes, and kills itself
    program = (
        "import os, pathlib\nfrom tests.support.journals import *\n"
        "journal = Journal(pathlib.Path.cwd(), 'sink', 200)\n"
        "for number in range(1000): journal.write(FINISHED, Numbered('source', number))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, timeout=60, check=False)
    assert done.returncode == -9
    # Then everything is there
    assert [entry.message.number for entry in Journals(tmp_path).entries()] == list(range(1000))
