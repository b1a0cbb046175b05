"""The verdict on histories: good ones pass, and whatever breaks a promise is found, by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import assume, given, note
from hypothesis import strategies as st

from maro.testbed.history import Injected, Journal, Limits, Verdict, check
from maro.testbed.history.events import LEVELS
from tests.support.histories import BREAKS, Book, Line, World

SEEDS = st.integers(0, 2**32 - 1)
S = 10**9
SOURCE, SINK, NEXT = ("source", 1), ("sink", 2), ("sink", 20)


def start(name: str, incarnation: int, at_ns: int, level: str = "cache", host: str = "here") -> Line:
    who = {"v": 1, "name": name, "type": "t", "group": "g", "incarnation": incarnation}
    return {"e": "start", "t": at_ns, **who, "level": level, "host": host}


def line(kind: str, at_ns: int, message: str = "", peer: str = "", **more: object) -> Line:
    about = {"m": message, "p": peer} if message else {"p": peer} if peer else {}
    return {"e": kind, "t": at_ns, **about, **more}


def sent(message: str, at_ns: int, *more: Line) -> list[Line]:
    return [line("offered", at_ns, message, "sink"), line("accepted", at_ns, message, "sink"), *more]


def handed(message: str, at_ns: int, finished: bool = True, incarnation: int = 1) -> list[Line]:
    taken = [line("received", at_ns, message, "source", i=incarnation, by="receive")]
    return taken + [line("finished", at_ns, message, "source")] * finished


def book(source: list[Line], sink: list[Line], following: list[Line] | None = None, level: str = "cache") -> Book:
    """A source, a sink, and maybe the sink's next incarnation, which begins at 20 s."""
    made = Book({SOURCE: [start(*SOURCE, 1, level), *source], SINK: [start(*SINK, 2, level), *sink]})
    if following is not None:
        made.pages[NEXT] = [start(*NEXT, 20 * S, level), *following]
    return made


def verdict(made: Book, **options: int) -> Verdict:
    return check(made.journals(), made.faults, **options)


def broken(made: Book, **options: int) -> dict[str, int]:
    return verdict(made, **options).broken


CLOSE = line("close", 90 * S)


# Histories that are made at random.


@given(seed=SEEDS, level=st.sampled_from(LEVELS), steps=st.integers(0, 150))
def test_a_good_history_passes(seed: int, level: str, steps: int) -> None:
    """Whatever was sent, finished and killed."""
    made = World(Random(seed), level).run(steps)
    note(f"seed {seed}")
    found = verdict(made, drained_ns=made.end_ns)
    assert found.has_passed, found.report()
    assert found.counts["journals"] == len(made.pages)


@pytest.mark.parametrize("damage", BREAKS, ids=lambda damage: damage.__name__)
@given(seed=SEEDS, level=st.sampled_from(LEVELS), kills=st.integers(0, 3))
def test_whatever_breaks_a_promise_is_found(
    damage: Callable[[Book, Random], bool], seed: int, level: str, kills: int
) -> None:
    """One change to a good history, and the kind of what it breaks is among what is found."""
    made = World(Random(seed), level, kills=kills).run(120)
    assume(damage(made, Random(seed)))
    note(f"seed {seed}")
    assert BREAKS[damage] in broken(made, drained_ns=made.end_ns)


@given(seed=SEEDS, level=st.sampled_from(LEVELS))
def test_a_kill_between_an_act_and_its_line_breaks_no_promise(seed: int, level: str) -> None:
    """What claims that something has happened is written after it: the last such line of who was killed may lack."""
    made = World(Random(seed), level).run(120)
    for lines in made.pages.values():
        if lines[-1]["e"] in ("accepted", "received", "acked", "peer", "lost", "return", "raised"):
            lines.pop()
    note(f"seed {seed}")
    found = verdict(made)
    assert found.has_passed, found.report()


# Each promise by itself, with its good twin.


def test_what_was_accepted_is_finished_by_some_incarnation() -> None:
    """Handing out is not enough; a later incarnation is, and so is a report, or a sender that was killed."""
    unfinished = handed("m", 3, finished=False)
    assert broken(book([*sent("m", 3), CLOSE], unfinished)) == {"lost": 1}
    assert "handed to sink@2, and not finished" in verdict(book([*sent("m", 3), CLOSE], unfinished)).report()
    assert broken(book([*sent("m", 3), CLOSE], [*unfinished, CLOSE])) == {"lost": 1}
    assert broken(book([*sent("m", 3), CLOSE], unfinished, handed("m", 21 * S))) == {}
    assert broken(book(sent("m", 3, line("undeliverable", 4, "m", "sink", why="left")), unfinished)) == {}
    killed = book(sent("m", 3), unfinished)
    killed.faults.append(Injected("kill", "source", 5))
    assert broken(killed) == {}


def test_what_was_not_accepted_is_not_lost() -> None:
    """The call was under way, or said that it did not take it."""
    assert broken(book([line("offered", 3, "m", "sink"), CLOSE], [])) == {}
    assert broken(book([*sent("m", 3), line("dropped", 3, "m", "sink", why="full"), CLOSE], [])) == {}


@pytest.mark.parametrize("level", ["live", "rejoin"])
def test_without_the_cache_a_loss_needs_a_reason(level: str) -> None:
    """A fault, or an end that began anew; what was on its way at the end is none, unless the run was drained."""
    gap = book([*sent("m1", 3), *sent("m2", 4), CLOSE], handed("m2", 5), level=level)
    assert broken(gap) == {"lost": 1}
    gap.faults.append(Injected("partition", "sink", 3, 4))
    assert broken(gap) == {}
    assert broken(book([*sent("m1", 3), *sent("m2", 4)], [], handed("m2", 21 * S), level=level)) == {}
    tail = book([*sent("m1", 3), CLOSE], [CLOSE], level=level)
    assert broken(tail) == {}
    assert broken(tail, drained_ns=10) == {"lost": 1}
    tail.faults.append(Injected("redis-kill", "", 3))
    assert broken(tail, drained_ns=10) == {}


def test_one_incarnation_is_handed_a_message_once() -> None:
    """The next one may be handed it again, but not when its sender knew before that it was finished."""
    assert broken(book(sent("m", 3), [*handed("m", 4), *handed("m", 5)])) == {"duplicated": 1}
    assert broken(book(sent("m", 3), handed("m", 4), handed("m", 21 * S))) == {}
    acked = sent("m", 3, line("acked", 5, "m", "sink"))
    assert broken(book(acked, handed("m", 4), handed("m", 21 * S))) == {"duplicated": 1}
    elsewhere = book(acked, handed("m", 4), handed("m", 21 * S))
    elsewhere.pages[NEXT][0]["host"] = "there"
    assert broken(elsewhere) == {}


def test_messages_of_one_sender_come_in_order() -> None:
    """Replies that a call waits for come in the order of the waiting."""
    both = [*sent("m1", 3), *sent("m2", 4)]
    assert broken(book(both, [*handed("m1", 5), *handed("m2", 6)])) == {}
    backwards = book(both, [*handed("m2", 5), *handed("m1", 6)])
    assert broken(backwards) == {"reordered": 1}
    for one in backwards.pages[SINK]:
        if one["e"] == "received":
            one["by"] = "collect"
    assert broken(backwards) == {}


def test_what_is_handed_out_was_sent() -> None:
    """By that incarnation; where there is no journal of it, or it was cut, nobody can tell."""
    assert broken(book([], handed("m", 4))) == {"phantom": 1}
    unknown = verdict(book([], handed("m", 4, incarnation=7)))
    assert unknown.has_passed
    assert unknown.counts["messages of components without a journal"] == 1
    cut = [json.dumps(start(*SOURCE, 1)).encode() + b"\n", b'{"e": "offe']
    (sink,) = (journal for journal in book([], handed("m", 4)).journals() if journal.start.name == "sink")
    found = check([Journal("source", cut), sink])
    assert found.has_passed
    assert found.counts["lines cut"] == 1


def test_messages_to_who_keeps_no_journal_are_counted_and_not_judged() -> None:
    """Somebody else's component, say."""
    found = verdict(Book({SOURCE: [start(*SOURCE, 1), *sent("m", 3), CLOSE]}))
    assert found.has_passed
    assert found.counts["messages to components without a journal"] == 1


def test_calls_end() -> None:
    """By returning or raising; one of a process that was killed is in doubt."""
    begun = [line("call", 3, c=1, k="send")]
    assert broken(book([*begun, CLOSE], [])) == {"unfinished call": 1}
    assert broken(book(begun, [])) == {"unfinished call": 1}
    assert broken(book([*begun, line("return", 4, c=1, got=1), CLOSE], [])) == {}
    assert broken(book([*begun, line("raised", 4, c=1, why="late"), CLOSE], [])) == {}
    assert broken(book([*begun, line("end", 4, why="an exception")], [])) == {}
    killed = book(begun, [])
    killed.faults.append(Injected("kill", "source", 5))
    assert broken(killed) == {}


def test_who_knows_a_younger_incarnation_takes_nothing_from_an_older_one() -> None:
    """Before it knows, that is all right."""
    knows = line("peer", 5, peer="source", i=9)
    assert broken(book(sent("m", 3), [*handed("m", 4), knows])) == {}
    assert broken(book(sent("m", 3), [knows, *handed("m", 6)])) == {"split brain": 1}


def test_what_is_finished_was_handed_out() -> None:
    """Before."""
    unseen = [line("finished", 4, "m", "source")]
    assert broken(book(sent("m", 3), [*unseen, *handed("m", 5)])) == {"finished unseen": 1}


# Recoveries.


def recovered(limits: Limits | None = None) -> Verdict:
    """A sink that is killed at 10 s, missed after 1 s, back after 11, and at work after 12."""
    news = [line("lost", 11 * S, peer="sink", i=2, why="gone"), line("peer", 21 * S, peer="sink", i=20)]
    made = book([*sent("m1", 3), *news, *sent("m2", 21 * S)], handed("m1", 4), handed("m2", 22 * S))
    return check(made.journals(), [Injected("kill", "sink", 10 * S)], limits=limits)


def test_a_recovery_is_timed_from_the_fault() -> None:
    """By what the peers wrote, and the component itself."""
    found = recovered()
    assert found.has_passed
    (recovery,) = found.recoveries
    assert (recovery.component, recovery.detect_s, recovery.rejoin_s, recovery.useful_s) == ("sink", 1.0, 11.0, 12.0)
    assert found.recovery_table()["rejoin"] == {"seen": 1, "of": 1, "p50": 11.0, "p99": 11.0, "max": 11.0}


def test_a_recovery_is_held_against_its_limits() -> None:
    """Each phase and quantile has its own."""
    assert recovered(Limits(detect_p50=1.0, rejoin_p99=11.0, useful_p50=12.0)).has_passed
    slow = recovered(Limits(detect_p50=0.5, rejoin_p99=10.0, useful_p99=20.0))
    assert slow.broken == {"too slow": 2}
    assert "p99 of rejoin took 11.000 s, and may take 10 s" in slow.report()


def test_a_recovery_that_never_came_is_beyond_every_limit() -> None:
    """It is told as such, and is not left out of the quantiles."""
    made = book(sent("m", 3), handed("m", 4))
    kill = [Injected("kill", "sink", 10 * S)]
    found = check(made.journals(), kill, limits=Limits(rejoin_p50=60.0))
    assert "p50 of rejoin never came, and may take 60 s" in found.report()
    assert check(made.journals(), kill).has_passed


def test_a_fault_that_ends_nobody_is_no_end() -> None:
    """A pause, or a kill of one that has not begun."""
    made = book([], [])
    faults = [Injected("pause", "sink", 10 * S, 11 * S), Injected("kill", "nobody", 3), Injected("kill", "sink", 1)]
    assert check(made.journals(), faults).recoveries == []


# What it looks like.


def test_a_report_counts_all_and_shows_some() -> None:
    """A thousand lost messages are a few lines to read; programs get the same."""
    found = verdict(book([one for number in range(1000) for one in sent(f"m{number}", 3)] + [CLOSE], []))
    report = found.report()
    assert report.startswith("FAILED: 2 journals, 2003 events, 1000 messages accepted")
    assert "1000 x lost" in report
    assert len(report.splitlines()) == 11
    assert json.loads(json.dumps(found.as_json()))["broken"] == {"lost": 1000}
