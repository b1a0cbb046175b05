"""Journals as they come from their files: whole, cut, and spoilt; and the command that judges them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from maro.testbed.history import Journal, JournalError, journals_in, read_injected
from maro.testbed.history.__main__ import main
from maro.testbed.history.events import FIELDS, event_of
from tests.support.histories import World

START = {"e": "start", "t": 1, "v": 1, "name": "a", "type": "t", "group": "g", "incarnation": 7, "level": "cache"}
WHOLE = {**START, "host": "here"}


def written(folder: Path, *lines: Any, end: str = "\n") -> Path:
    """A journal of these lines, the last one with another end maybe."""
    file = folder / "a@7.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    file.write_text(text + end)
    return file


def test_a_journal_is_read(tmp_path: Path) -> None:
    """Who wrote it, and every line in its order; what the format does not name may be there as well."""
    written(
        tmp_path, {**WHOLE, "pid": 4}, {"e": "offered", "t": 2, "m": "m1", "p": "b", "tag": "x"}, {"e": "close", "t": 3}
    )
    (journal,) = ((journal.start, list(journal)) for journal in journals_in(tmp_path))
    start, events = journal
    assert (start.name, start.incarnation, start.level) == ("a", 7, "cache")
    assert [(event.kind, event.message, event.peer) for event in events] == [("offered", "m1", "b"), ("close", "", "")]
    assert events[0].fields["tag"] == "x"


def test_a_line_without_an_end_is_left_out(tmp_path: Path) -> None:
    """The machine failed in the middle of a write."""
    written(tmp_path, WHOLE, {"e": "close", "t": 3}, '{"e": "clo', end="")
    for journal in journals_in(tmp_path):
        assert [event.kind for event in journal] == ["close"]
        assert journal.is_cut


def test_a_journal_without_a_whole_line_says_nothing(tmp_path: Path) -> None:
    """Its process was killed before it could say who it is."""
    written(tmp_path, '{"e": "sta', end="")
    assert list(journals_in(tmp_path)) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "Expecting"),
        ("[]", "it is no JSON object"),
        ({"e": "opened", "t": 2}, "has the event 'opened', which is none of start, "),
        ({"e": "close"}, "`t` of close has to be a whole number of nanoseconds, not None"),
        ({"e": "offered", "t": 2, "m": 5, "p": "b"}, "`m` of offered has to be of type str, not 5"),
        ({"e": "peer", "t": 2, "p": "b", "i": True}, "`i` of peer has to be of type int, not True"),
    ],
)
def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: Any, complaint: str) -> None:
    """By its file and number, and with what is wrong about it."""
    file = written(tmp_path, WHOLE, line, {"e": "close", "t": 3})
    with pytest.raises(JournalError) as refused:
        [list(journal) for journal in journals_in(tmp_path)]
    assert str(refused.value).startswith(f"{file}, line 2: ")
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        ({"e": "close", "t": 1}, "begins with `start`, not with 'close'"),
        ({**WHOLE, "v": 2}, "its version is 2"),
        ({**WHOLE, "level": "some"}, "`level` is 'some', none of live, rejoin, cache"),
        (START, "`host` of start"),
    ],
)
def test_a_journal_that_does_not_say_whose_it_is_is_refused(tmp_path: Path, first: Any, complaint: str) -> None:
    """It can't be judged."""
    written(tmp_path, first)
    with pytest.raises(JournalError, match=complaint):
        list(journals_in(tmp_path))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """It may be a slip of the pen."""
    with pytest.raises(JournalError, match=r"nowhere is no folder: give the one that MARO_JOURNAL named"):
        list(journals_in(tmp_path / "nowhere"))


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_no_json_at_all_is_taken_for_an_event_by_mistake(value: Any) -> None:
    """It is refused, or has what its event needs."""
    try:
        event = event_of(value)
    except ValueError:
        return
    assert all(name in event.fields for name in FIELDS[event.kind])


def test_injected_faults_are_read_by_time(tmp_path: Path) -> None:
    """One that is no fault is named."""
    file = tmp_path / "faults.jsonl"
    later, earlier = {"kind": "kill", "component": "a", "at_ns": 9}, {"kind": "redis-kill", "at_ns": 3, "healed_ns": 5}
    file.write_text(f"{json.dumps(later)}\n{json.dumps(earlier)}\n")
    assert [(fault.kind, fault.component, fault.healed_ns) for fault in read_injected(file)] == [
        ("redis-kill", "", 5),
        ("kill", "a", None),
    ]
    file.write_text('{"kind": "kill"}\n')
    with pytest.raises(JournalError, match="line 1: a fault needs at least a `kind` and `at_ns`"):
        read_injected(file)


# The command.


def judged(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return done.exit_code, done.output


def run_into(folder: Path, change: Callable[[list[Any]], None] = lambda lines: None) -> None:
    """The journals of a world, one of them changed."""
    made = World(Random(1), "cache", kills=0).run(60)
    change(next(iter(made.pages.values())))
    for (name, incarnation), lines in made.pages.items():
        (folder / f"{name}@{incarnation}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_the_command_says_what_it_found(tmp_path: Path) -> None:
    """In words, or as JSON; and by its exit code."""
    run_into(tmp_path)
    code, output = judged(tmp_path)
    assert (code, output.partition(":")[0]) == (0, "passed")
    code, output = judged(tmp_path, "--json")
    assert (code, json.loads(output)["passed"]) == (0, True)


def test_the_command_fails_with_a_broken_promise(tmp_path: Path) -> None:
    """A call without an end, say."""
    run_into(tmp_path, lambda lines: lines.insert(1, {"e": "call", "t": 2, "c": 99, "k": "send"}))
    code, output = judged(tmp_path)
    assert (code, "send number 99 of a@" in output) == (1, True)


def test_the_command_refuses_what_it_can_not_judge(tmp_path: Path) -> None:
    """An empty folder, none, or one with something else in it."""
    assert judged(tmp_path)[0] == 2
    assert "There is no journal in" in judged(tmp_path)[1]
    assert "is no folder" in judged(tmp_path / "nowhere")[1]
    written(tmp_path, "no JSON")
    assert judged(tmp_path)[0] == 2


def test_a_journal_can_be_made_of_lines() -> None:
    """Without a file, as the tests of the checker do."""
    assert list(Journal("here", [json.dumps(WHOLE).encode() + b"\n"])) == []
