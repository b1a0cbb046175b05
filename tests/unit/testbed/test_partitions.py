"""Who is cut off from whom."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maro.testbed.faults.partitions import around, between_groups, resolved_groups
from maro.testbed.faults.targets import TargetError
from maro.testbed.runners.docker_network import places
from tests.unit.testbed.test_schedule import GROUP

LABELS = [member.label for member in GROUP if member.component_type]
GROUPS = st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), min_size=2, max_size=4)


@given(st.integers(0, 1000))
def test_halves_are_as_large_as_each_other(seed: int) -> None:
    """All components are in one of them, and Redis is in none."""
    first, second = resolved_groups("halves", GROUP, Random(seed))
    assert sorted([*first, *second]) == sorted(LABELS)
    assert len(first) == len(second) == 2


def test_halves_are_drawn() -> None:
    """From the seed, and from nothing else."""
    drawn = {str(resolved_groups("halves", GROUP, Random(seed))) for seed in range(50)}
    assert len(drawn) == 6  # two of four
    assert resolved_groups("halves", GROUP, Random(3)) == resolved_groups("halves", GROUP, Random(3))


def test_groups_are_named_by_label_service_or_type() -> None:
    """Each member once."""
    assert resolved_groups([["learner-1"], ["all player", "actor-1"]], GROUP, Random(0)) == [
        ["learner-1"],
        ["actor-1", "actor-2", "actor-3"],
    ]


@pytest.mark.parametrize("groups", [[["actor-1"], ["actor-9"]], [["actor-1", "actor-2"], ["actor-1"]]])
def test_groups_that_cut_nobody_off_are_refused(groups: list[list[str]]) -> None:
    """Such as those of strangers, and those that are within each other."""
    with pytest.raises(TargetError, match=r"there is no 'actor-9'|cuts nobody off"):
        resolved_groups(groups, GROUP, Random(0))


@given(GROUPS)
def test_those_without_a_group_in_common_are_cut_off(groups: list[list[str]]) -> None:
    """In both directions; who is in two groups reaches both."""
    pairs = between_groups(groups)
    for one in "abcdef":
        for two in "abcdef":
            in_some = any(one in group for group in groups) and any(two in group for group in groups)
            together = any(one in group and two in group for group in groups)
            assert ((one, two) in pairs) is (one != two and in_some and not together)


def test_one_is_cut_off_from_the_rest_in_one_direction_or_both() -> None:
    """Out is what it sends."""
    assert around("a", "abc", "out") == {("a", "b"), ("a", "c")}
    assert around("a", "abc", "in") == {("b", "a"), ("c", "a")}
    assert around("a", "abc", "both") == around("a", "abc", "in") | around("a", "abc", "out")


@given(GROUPS)
def test_every_pair_is_cut_once(groups: list[list[str]]) -> None:
    """At one of the two."""
    pairs = between_groups(groups)
    found = places(pairs)
    assert sorted(pair for cut in found.values() for pair in cut) == sorted(pairs)
    assert all(label in pair for label, cut in found.items() for pair in cut)


def test_one_against_the_rest_is_cut_at_that_one() -> None:
    """However many the others are."""
    assert list(places(around("b", "abcdef", "both"))) == ["b"]
