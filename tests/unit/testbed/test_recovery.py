"""What is made of the kills that a recovery was measured by: durations, quantiles, the verdict, and the picture."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.testbed.recovery import compose_file
from maro.testbed.recovery_figures import Measured, Recovery, Report, quantile, recovery_of
from maro.testbed.recovery_picture import picture
from maro.testbed.workloads.beats.watcher import Watch
from maro.testbed.workloads.reporting import Reporter

SVG = "{http://www.w3.org/2000/svg}"
BEFORE: list[Report] = [
    {"event": "present", "at": 90.0},
    {"event": "first", "at": 90.1, "began": 89.0},
]
AFTER: list[Report] = [
    {"event": "absent", "at": 100.1},
    {"event": "present", "at": 101.0},
    {"event": "first", "at": 101.2, "began": 100.7},
]


def measured(known: float = 0.1, rejoined: float = 1.0, start: float = 0.8) -> Measured:
    one = Recovery(known, 0.3, 0.7, rejoined, rejoined + 0.1)
    return Measured((one,) * 3, (Recovery(5.0, 5.5, 6.0, 6.2, 6.3),) * 3, (start,) * 3)


def test_a_recovery_is_measured_from_the_kill() -> None:
    """What was said before it does not count."""
    found = recovery_of(100.0, 100.4, [*BEFORE, *AFTER])
    assert found == Recovery(known=0.1, started=0.4, began=0.7, rejoined=1.0, first=1.2)


@pytest.mark.parametrize("left", range(3))
def test_a_recovery_is_over_when_the_first_new_message_is_there(left: int) -> None:
    """Not before, whatever there is of it; a beat of the killed start is no new one."""
    assert recovery_of(100.0, 100.4, [*BEFORE, *AFTER[:left]]) is None
    late = {"event": "first", "at": 100.2, "began": 89.0}
    assert recovery_of(100.0, 100.4, [*BEFORE, *AFTER[:2], late]) is None


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_the_least_value_that_enough_do_not_exceed(values: list[float], share: float) -> None:
    """By nearest rank: one of the values themselves."""
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_no_values_have_no_quantile() -> None:
    """And it says what to do."""
    with pytest.raises(ValueError, match="at least one kill"):
        quantile([], 0.5)


@pytest.mark.parametrize(
    ("one", "met"),
    [
        (measured(), [True, True]),
        (measured(known=0.25), [False, True]),
        (measured(rejoined=1.2, start=0.8), [True, False]),
    ],
)
def test_the_verdict_is_about_the_medians(one: Measured, met: list[bool]) -> None:
    """In the table, and for programs."""
    assert list(one.verdict().values()) == met
    assert one.table().count("MISSED") == met.count(False)
    told = json.loads(json.dumps(one.as_json()))
    assert list(told["verdict"].values()) == met
    assert told["figures"]["kill to peers knowing"]["kills"] == 3
    assert told["figures"]["kill to peers knowing, by lease only"]["p99"] == 5.0


def test_the_picture_has_a_dot_for_each_kill_and_two_marks_for_each_row() -> None:
    """As SVG that a parser reads."""
    durations = measured().durations()
    drawn = ElementTree.fromstring(picture('Kills & "starts"', durations))
    assert len(list(drawn.iter(f"{SVG}circle"))) == sum(map(len, durations.values()))
    for name in ("p50", "p99"):
        assert len([line for line in drawn.iter(f"{SVG}line") if line.get("class") == name]) == len(durations)
    texts = {text.text for text in drawn.iter(f"{SVG}text")}
    assert set(durations) <= texts
    # And longer durations are further to the right
    short, long = picture("", {"one": [0.1], "two": [5.0]}).split('class="p50" x1="')[1:]
    assert float(short.split('"')[0]) < float(long.split('"')[0])


def test_a_watcher_tells_only_what_is_new() -> None:
    """Beats of a start that it has heard of, and a peer that is still there, are no news."""
    told: list[tuple[str, float | None]] = []
    watch = Watch(Reporter(lambda report: told.append((report["event"], report.get("began"))), dict))
    for is_present in (False, True, True, False, True):
        watch.look(is_present)
    for began_s in (7.0, 7.0, 9.0, 7.0):
        watch.beat(began_s)
    assert told == [("present", None), ("absent", None), ("present", None), ("first", 7.0), ("first", 9.0)]


def test_the_components_of_the_group_run_what_the_package_has() -> None:
    """And belong to the job of the agent."""
    services = compose_file(Path("/redis.conf"))["services"]
    for name in ("sender", "watcher"):
        assert services[name]["command"] == [f"maro.testbed.workloads.beats.{name}"]
        assert services[name]["labels"]["maro.job"] == services[name]["environment"]["JOB_ID"]
