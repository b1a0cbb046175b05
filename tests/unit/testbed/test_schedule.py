"""Schedules: written, drawn, kept and replayed; and what is wrong with one is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from maro.testbed.faults.fault import KINDS, Fault, FaultError, fault_of
from maro.testbed.faults.targets import Target, TargetError, target_of
from maro.testbed.runners.runner import Capability
from maro.testbed.schedule import Entry, Schedule, ScheduleError, drawn, read_schedule, schedule_of

KILL = Fault("kill", Target("actor", 1))
PAUSE = Fault("pause", Target("actor", 0))


@dataclass(frozen=True)
class Member:
    label: str
    service: str
    component_type: str


GROUP = [
    Member("learner-1", "learner", "learner"),
    *(Member(f"actor-{number}", "actor", "player") for number in (1, 2, 3)),
    Member("redis-1", "redis", ""),
]
PARAMETERS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "redis-plant": st.fixed_dictionaries({"entry": st.sampled_from(["stale", "no-lease", "wrong-lease", "no-json"])}),
    "partition": st.fixed_dictionaries(
        {"groups": st.sampled_from(["halves", [["actor-1", "learner-1"], ["all player"]], [["actor-1"], ["actor-2"]]])}
    ),
    "isolate": st.fixed_dictionaries({}, optional={"direction": st.sampled_from(["both", "in", "out"])}),
    "loss": st.fixed_dictionaries({"percent": st.floats(0.1, 100)}),
    "bandwidth": st.fixed_dictionaries({"kbit": st.integers(1, 10_000)}),
    "delay": st.fixed_dictionaries({"ms": st.integers(1, 1000)}, optional={"jitter_ms": st.floats(0, 10)}),
    "fail-point": st.fixed_dictionaries(
        {
            "point": st.sampled_from(["after-receive", "before-reply"]),
            "action": st.sampled_from(["kill@3", "delay:0.5"]),
        }
    ),
}
TARGETS = st.sampled_from(["actor-1", "any actor", "2 of actor", "all player"])
TIMES = st.integers(0, 100_000).map(lambda milliseconds: milliseconds / 1000)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Any entry that is allowed."""
    kind = draw(st.sampled_from(sorted(KINDS.values(), key=lambda kind: kind.name)))
    fields = {"fault": kind.name, **draw(PARAMETERS.get(kind.name, st.just({})))}
    if kind.has_target:
        fields["target"] = draw(TARGETS)
    return Entry(draw(TIMES), fault_of(fields), draw(st.none() | TIMES) if kind.lasts else None)


# Written and kept.


@given(st.lists(entries()), st.integers(0, 2**32))
def test_a_schedule_that_is_kept_is_read_as_it_was(tmp_path_factory: Any, made: list[Entry], seed: int) -> None:
    """Every kind of fault, with its target, its parameters and its times."""
    file = tmp_path_factory.mktemp("schedule") / "schedule.json"
    schedule = Schedule(tuple(made), seed)
    schedule.save(file)
    assert read_schedule(file) == schedule


def test_a_schedule_is_written_by_hand() -> None:
    """In any order; it is played by time."""
    text = """
    - {at: 10, for: 8, fault: pause, target: actor-2}
    - {at: 5, fault: kill, target: any actor}
    - {at: 7.5, fault: redis-flush}
    """
    schedule = schedule_of(yaml.safe_load(text))
    assert [str(entry.fault) for entry in schedule.entries] == ["kill any actor", "redis-flush", "pause actor-2"]
    assert [(entry.at_s, entry.for_s) for entry in schedule.entries] == [(5.0, None), (7.5, None), (10.0, 8.0)]
    assert schedule.end_s == 18.0


def test_no_schedule_is_an_empty_one() -> None:
    """Nothing is done to anybody."""
    assert schedule_of(None) == Schedule()
    assert Schedule().end_s == 0.0


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("kill", "a schedule is a list of entries, or has `seed`"),
        ([3], "entry 1: 3 is no entry"),
        ([{"at": 1, "fault": "kill", "target": "actor-1"}, {"fault": "kill"}], "entry 2: `at` has to be a number"),
        ([{"at": -1, "fault": "kill", "target": "actor-1"}], "entry 1: `at` has to be a number from 0 on, not -1"),
        ([{"at": True, "fault": "kill", "target": "actor-1"}], "entry 1: `at` has to be a number from 0 on, not True"),
        ([{"at": 1, "fault": "explode"}], "entry 1: `fault` is 'explode'; there are kill, stop, "),
        ([{"at": 1, "fault": "kill"}], "entry 1: kill: `target` is None; it is a label"),
        ([{"at": 1, "fault": "kill", "target": "some actor"}], "entry 1: kill: `target` is 'some actor'"),
        ([{"at": 1, "fault": "kill", "target": "a", "how": 9}], "entry 1: kill has no 'how'; it has target"),
        ([{"at": 1, "fault": "redis-kill", "target": "a"}], "entry 1: redis-kill has no 'target'; it has none"),
        ([{"at": 1, "for": 2, "fault": "redis-flush"}], "entry 1: redis-flush is over at once, and has no `for`"),
        ([{"at": 1, "fault": "redis-plant", "target": "a"}], "entry 1: redis-plant needs `entry`: one of stale, "),
        ([{"at": 1, "fault": "redis-plant", "target": "a", "entry": "x"}], "redis-plant: `entry` is one of stale, "),
        (
            [{"at": 1, "fault": "fail-point", "target": "a", "point": "after-lunch", "action": "kill"}],
            "'after-lunch=kill' names no fail point",
        ),
        ([{"at": 1, "fault": "loss", "target": "a"}], "loss needs `percent`: a number above 0, to 100"),
        ([{"at": 1, "fault": "loss", "target": "a", "percent": 101}], "`percent` is a number above 0, to 100, not 101"),
        ([{"at": 1, "fault": "loss", "target": "a", "percent": True}], "to 100, not True"),
        ([{"at": 1, "fault": "isolate", "target": "a", "direction": "up"}], "is one of both, in, out, not 'up'"),
        ([{"at": 1, "fault": "partition", "groups": "thirds"}], "`groups` is `halves`, or a list of lists"),
        ([{"at": 1, "fault": "partition", "groups": [["a"]]}], "at least two lists of members, not [['a']]"),
        ([{"at": 1, "fault": "partition", "groups": [["a"], "b"]}], "at least two lists of members"),
        ([{"at": 1, "fault": "partition", "groups": [["a"], ["any b"]]}], "'any b' in `groups` has to be a label"),
        ([{"at": 1, "fault": "partition", "groups": [["a"], ["some b"]]}], "'some b' in `groups`: `target` is"),
        ({"duration": 9, "rates": {"loss any a percent=[": 1}}, "has a parameter that can't be read"),
        ({"duration": 9, "rates": {"loss any a percent=0": 1}}, "`percent` is a number above 0, to 100, not 0"),
        ({"rates": {"kill any a": 1}}, "`duration` has to be a number from 0 on, not None"),
        ({"duration": 9}, "`rates` of a schedule names faults"),
        ({"duration": 9, "rates": {"kill any a": -1}}, "the rate of 'kill any a' has to be a number from 0 on, not -1"),
        ({"duration": 9, "rates": {"fly any a": 1}}, "the rate of 'fly any a': `fault` is 'fly'"),
        ({"duration": 9, "rates": {"kill any a": 1}, "sed": 3}, "a schedule that is drawn has no 'sed'"),
        ({"duration": 9, "rates": {"kill any a": 1}, "seed": 1.5}, "`seed` has to be a whole number from 0 on"),
        ({"entries": 3}, "`entries` is a list, not 3"),
    ],
)
def test_what_is_no_schedule_is_named(content: Any, complaint: str) -> None:
    """By the entry, and with what is allowed."""
    with pytest.raises(ScheduleError) as refused:
        schedule_of(content)
    assert complaint in str(refused.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    """With what is wrong about it."""
    with pytest.raises(ScheduleError, match=r"nowhere.yaml: .*No such file"):
        read_schedule(tmp_path / "nowhere.yaml")
    file = tmp_path / "schedule.yaml"
    file.write_text("{at: [")
    with pytest.raises(ScheduleError, match=f"{file}: "):
        read_schedule(file)


# Drawn.


RATES = st.lists(st.tuples(st.sampled_from([KILL, PAUSE, Fault("redis-flush")]), st.floats(0, 2)), max_size=3)


@given(st.integers(0, 2**32), st.floats(0, 50), RATES, st.floats(0, 10))
def test_what_is_drawn_from_a_seed_is_drawn_again(
    seed: int, duration_s: float, rates: list[tuple[Fault, float]], for_s: float
) -> None:
    """In whatever order the rates are written; nothing begins later, and what lasts is healed."""
    schedule = drawn(seed, duration_s, rates, for_s)
    assert schedule == drawn(seed, duration_s, list(reversed(rates)), for_s)
    for entry in schedule.entries:
        assert entry.at_s <= duration_s + 0.001
        assert (entry.for_s is not None) is entry.fault.lasts
    assert [entry.at_s for entry in schedule.entries] == sorted(entry.at_s for entry in schedule.entries)


def test_a_seed_draws_the_same_on_every_machine() -> None:
    """As it did when this was written."""
    schedule = schedule_of({"seed": 7, "duration": 30, "rates": {"kill any actor": 0.1, "redis-flush": 0.05}, "for": 4})
    assert [(entry.at_s, str(entry.fault), entry.for_s) for entry in schedule.entries] == [
        (3.913, "kill any actor", 2.603),
        (5.052, "redis-flush", None),
        (14.438, "kill any actor", 2.29),
        (22.114, "kill any actor", 3.463),
        (22.712, "kill any actor", 4.03),
        (23.094, "kill any actor", 3.735),
        (23.818, "kill any actor", 2.363),
        (24.799, "redis-flush", None),
        (29.344, "kill any actor", 5.307),
    ]


def test_a_rate_may_have_parameters() -> None:
    """As the words of a fault say them."""
    schedule = schedule_of({"seed": 7, "duration": 9, "rates": {"loss any actor percent=20": 1}, "for": 4})
    assert {str(entry.fault) for entry in schedule.entries} == {"loss any actor percent=20"}


def test_rates_are_faults_a_second() -> None:
    """A hundred seconds at two a second are two hundred, more or less."""
    counts = [len(drawn(seed, 100.0, [(KILL, 2.0)], 1.0).entries) for seed in range(20)]
    assert 180 < sum(counts) / len(counts) < 220


# Whom it is for.


def labels(text: str, members: Sequence[Member] = GROUP, seed: int = 1) -> list[str]:
    return target_of(text).labels(members, Random(seed))


def test_targets_name_members() -> None:
    """By label, service or type."""
    assert labels("actor-2") == ["actor-2"]
    assert labels("all actor") == labels("all player") == ["actor-1", "actor-2", "actor-3"]
    assert labels(" any   actor")[0].startswith("actor-")
    assert len(set(labels("2 of actor"))) == 2
    assert {labels("any actor", seed=seed)[0] for seed in range(30)} == {"actor-1", "actor-2", "actor-3"}
    assert [str(target_of(text)) for text in ("actor-2", "any actor", "3 of actor", "all actor")] == [
        "actor-2",
        "any actor",
        "3 of actor",
        "all actor",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("actor-9", "there is no 'actor-9': there are the members learner-1, actor-1"),
        ("any worker", "there are 0 of 'worker' for `any worker`: "),
        ("all worker", "there are 0 of 'worker' for `all worker`"),
        ("4 of actor", "there are 3 of 'actor' for `4 of actor`"),
    ],
)
def test_a_target_that_means_nobody_is_named(text: str, complaint: str) -> None:
    """With those who are there, and the entry."""
    with pytest.raises(TargetError) as refused:
        labels(text)
    assert complaint in str(refused.value)
    with pytest.raises(ScheduleError, match=r"entry 1 \(kill "):
        Schedule((Entry(1.0, Fault("kill", target_of(text))),)).resolved(GROUP)


@given(st.lists(entries(), max_size=6), st.integers(0, 2**32))
def test_a_resolved_schedule_says_whom(made: list[Entry], seed: int) -> None:
    """Every target is a label, drawn the same each time, and resolving it again changes nothing."""
    schedule = Schedule(tuple(made), seed)
    resolved = schedule.resolved(GROUP)
    assert resolved == schedule.resolved(GROUP) == resolved.resolved(GROUP)
    there = {member.label for member in GROUP}
    assert all(entry.fault.target is None or str(entry.fault.target) in there for entry in resolved.entries)
    assert len(resolved.entries) >= len(schedule.entries)


def test_what_a_runner_can_not_do_is_refused() -> None:
    """With what it can."""
    schedule = schedule_of([{"at": 1, "fault": "kill", "target": "actor-1"}, {"at": 2, "fault": "redis-flush"}])
    schedule.refuse_what_is_impossible("here", frozenset({Capability.KILL, Capability.REDIS}))
    with pytest.raises(ScheduleError) as refused:
        schedule.refuse_what_is_impossible("here", frozenset({Capability.KILL}))
    assert str(refused.value) == "entry 2 (redis-flush): not supported here. The runner `here` can do: kill"


def test_a_fault_is_what_its_json_says() -> None:
    """And needs what its kind needs."""
    fault = fault_of({"fault": "fail-point", "target": "actor-1", "point": "after-receive", "action": "kill@3"})
    assert fault_of(json.loads(json.dumps(fault.as_json()))) == fault
    assert fault.needs is Capability.FAIL_POINT
    with pytest.raises(FaultError):
        fault_of({"fault": 5})
