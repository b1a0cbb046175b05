"""Whom a fault is for: a member by its label, one or some of a kind at random, or all of a kind.

actor-2       the member with this label
any actor     one of the service or component type, drawn when the schedule is made
2 of actor    two different ones
all actor     every one
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

_DRAWN = re.compile(r"(?:(?P<word>any|all)|(?P<count>[1-9][0-9]*) of)\s+(?P<kind>\S+)")


_FORMS = "a label (actor-1), `any actor`, `2 of actor` or `all actor`"


class TargetError(ValueError):
    """Nobody is meant, or nobody in particular; the text says who there is."""


class Named(Protocol):
    """A member, as far as it matters who it is."""

    @property
    def label(self) -> str:
        """Service and number."""

    @property
    def service(self) -> str:
        """Of the compose file."""

    @property
    def component_type(self) -> str:
        """Empty where it is no component."""


@dataclass(frozen=True)
class Target:
    """Whom a fault is for."""

    name: str
    """A label; or the service or type to draw from."""
    count: int | None = None
    """How many of that; None for a label, 0 for all."""

    def __str__(self) -> str:
        if self.count is None:
            return self.name
        return {0: f"all {self.name}", 1: f"any {self.name}"}.get(self.count, f"{self.count} of {self.name}")

    def labels(self, members: Sequence[Named], random: Random) -> list[str]:
        """Those that are meant, in the order of the members.

        Args:
            members: among whom.
            random: draws, where that is needed.

        Raises:
            TargetError: there is none of that name, or there are too few.
        """
        if self.count is None:
            if any(member.label == self.name for member in members):
                return [self.name]
            raise TargetError(f"there is no {self.name!r}{self._hint(members)}")
        found = [member.label for member in members if self.name in (member.service, member.component_type)]
        if len(found) < max(1, self.count):
            raise TargetError(f"there are {len(found)} of {self.name!r} for `{self}`{self._hint(members)}")
        if not self.count:
            return found
        # By `random()` alone, which draws the same in every version of Python.
        ranked = sorted(found, key=lambda _: random.random())
        return [label for label in found if label in ranked[: self.count]]

    def _hint(self, members: Sequence[Named]) -> str:
        labels = ", ".join(member.label for member in members)
        kinds = ", ".join(dict.fromkeys(member.service for member in members))
        return f": there are the members {labels or '(none)'}, and `any` and `all` of {kinds or '(none)'}"


def target_of(text: Any) -> Target:
    """The target that somebody wrote.

    Raises:
        TargetError: it is none.
    """
    if not isinstance(text, str) or not text.strip():
        raise TargetError(f"`target` is {text!r}; it is {_FORMS}")
    text = " ".join(text.split())
    drawn = _DRAWN.fullmatch(text)
    if drawn is None:
        if " " in text:
            raise TargetError(f"`target` is {text!r}; it is {_FORMS}")
        return Target(text)
    if drawn["word"]:
        return Target(drawn["kind"], 1 if drawn["word"] == "any" else 0)
    return Target(drawn["kind"], int(drawn["count"]))
