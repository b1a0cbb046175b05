"""The names of the peers that are present, as applications see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from maro.communication.membership import Membership


class PeersName(Mapping[str, list[str]]):
    """The live `{type: [names]}` of a Membership: fixed keys; each look-up is a new list, safe to iterate over.

    Args:
        membership: who is in the group.
        message_bound: how many messages a sender keeps for this component until they are finished; `None` if none are
            kept. No conditional event can wait for more.
    """

    def __init__(self, membership: Membership, *, message_bound: int | None = None) -> None:
        self._membership = membership
        self.message_bound = message_bound

    def __getitem__(self, component_type: str) -> list[str]:
        return self._membership.names(component_type)

    def __iter__(self) -> Iterator[str]:
        return iter(self._membership.types)

    def __len__(self) -> int:
        return len(list(self._membership.types))

    def __repr__(self) -> str:
        return repr(dict(self))

    def count(self, component_type: str) -> int:
        """How many names a type has, without making the list."""
        return self._membership.count(component_type)

    def type_of(self, name: str) -> str | None:
        """The type of a component that joined, was heard, or has the type in its name."""
        return self._membership.type_of(name)

    def is_present(self, name: str) -> bool:
        """Whether a component is among the names now."""
        return self._membership.is_present(name)
