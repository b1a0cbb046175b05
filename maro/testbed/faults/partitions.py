"""Who is cut off from whom: the packets that are dropped, as pairs of source and destination."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from random import Random
from typing import Any, TypeVar

from maro.testbed.faults.targets import Named, TargetError, target_of

HALVES = "halves"
"""Instead of groups: the components in two groups by chance, as large as each other; everybody reaches Redis."""
DIRECTIONS = ("both", "in", "out")

N = TypeVar("N", bound=Named)
Labels = Collection[str]
Pairs = frozenset[tuple[str, str]]
"""Labels of source and destination."""


class PartitionError(ValueError):
    """Groups are none; the text says what is wrong with them."""


def check_groups(groups: Any) -> None:
    """See that groups are `halves`, or lists of names.

    Raises:
        PartitionError: they are neither.
    """
    if groups == HALVES:
        return
    lists = [group for group in groups if isinstance(group, list) and group]
    if len(groups) < 2 or len(lists) != len(groups):
        raise PartitionError(f"`groups` has at least two lists of members, not {groups!r}")
    for name in (name for group in groups for name in group):
        try:
            is_whole = isinstance(name, str) and not target_of(name).count
        except TargetError as error:
            raise PartitionError(f"{name!r} in `groups`: {error}") from error
        if not is_whole:
            raise PartitionError(f"{name!r} in `groups` has to be a label, or `all` of a service or type")


def resolved_groups(groups: Any, members: Sequence[Named], random: Random) -> list[list[str]]:
    """The labels of each group.

    Args:
        groups: checked ones.
        members: among whom.
        random: draws the halves.

    Raises:
        TargetError: a name stands for nobody, or nobody is cut off.
    """
    if groups == HALVES:
        labels = [member.label for member in members if member.component_type]
        ranked = sorted(labels, key=lambda _: random.random())
        first = ranked[: len(ranked) // 2]
        found = [[label for label in labels if label in first], [label for label in labels if label not in first]]
    else:
        found = [list(dict.fromkeys(_labels(group, members, random))) for group in groups]
    if not between_groups(found):
        raise TargetError(f"a partition in {found} cuts nobody off: everybody is in a group with everybody")
    return found


def between_groups(groups: Iterable[Labels]) -> Pairs:
    """Only those reach each other that have a group in common; who is in none reaches everybody."""
    sets = [set(group) for group in groups]
    everybody = set().union(*sets)
    return frozenset(
        (one, two)
        for one in everybody
        for two in everybody
        if one != two and not any(one in group and two in group for group in sets)
    )


def around(label: str, others: Iterable[str], direction: str) -> Pairs:
    """One against all others: of what it sends (`out`), what is sent to it (`in`), or both."""
    others = [other for other in others if other != label]
    outgoing = {(label, other) for other in others} if direction != "in" else set()
    incoming = {(other, label) for other in others} if direction != "out" else set()
    return frozenset(outgoing | incoming)


def _labels(group: Sequence[str], members: Sequence[Named], random: Random) -> list[str]:
    return [label for name in group for label in target_of(name).labels(members, random)]
