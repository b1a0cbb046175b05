"""Who is in the group, as conditional events see it: counts by type, and the type behind a name.

The view never keeps a copy of the counts, so it follows joins and leaves. What it is given may be

- a mapping `{type: [names]}`, which its owner may change;
- a live mapping, which besides offers `count(component_type)` and `type_of(name)`, and perhaps `is_present(name)`:
  these are used instead of the lists of names, so that no look-up grows with the number of peers; it may also have a
  `message_bound`, a whole number or `None`;
- a callable without arguments that returns either.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

PeersByType = Mapping[str, Collection[str]]
PeersName = PeersByType | Callable[[], PeersByType]

_INFIX = "_proxy_"
_SPARE_NAMES = 1024


class PeersView:
    """Answers questions about the peers from whatever holds them.

    Raises:
        TypeError: `peers_name` is neither a mapping nor a callable, or, when asked, the callable returns no mapping.
    """

    def __init__(self, peers_name: PeersName) -> None:
        self._static: PeersByType | None = None
        self._fetch: Callable[[], PeersByType] | None = None
        if isinstance(peers_name, Mapping):
            self._static = peers_name
        elif callable(peers_name):
            self._fetch = peers_name
        else:
            raise TypeError(
                f"peers_name is {peers_name!r}, neither a mapping {{type: [names]}} nor a callable that returns one: "
                f"pass the peers_name of a Proxy instance, or a dict"
            )
        self._ask_type: Callable[[str], str | None] | None = _offered(self._static, "type_of")
        self._type_by_name: dict[str, str] = {}

    def mapping(self) -> PeersByType:
        """The peers as they are now."""
        if self._fetch is None:
            return cast(PeersByType, self._static)
        peers = self._fetch()
        if not isinstance(peers, Mapping):
            raise TypeError(
                f"the callable given as peers_name returned {peers!r}: let it return a dict {{type: [names]}}"
            )
        return peers

    def type_of(self, name: str) -> str | None:
        """The component type of a name: the one it joined under, else the one that the name itself tells, else None."""
        if self._ask_type is not None:
            return self._ask_type(name)
        known = self._type_by_name.get(name)
        return known if known is not None else self._search(name)

    def count(self, component_type: str) -> int:
        """How many peers of a type are present."""
        return _count(self.mapping(), component_type)

    def total(self) -> int:
        """How many peers of all types are present."""
        peers = self.mapping()
        return sum(_count(peers, component_type) for component_type in peers)

    def is_present(self, name: str) -> bool:
        """Whether the component of that name is in the group now."""
        peers = self.mapping()
        ask: Callable[[str], bool] | None = _offered(peers, "is_present")
        if ask is not None:
            return ask(name)
        component_type = self.type_of(name)
        return component_type is not None and name in peers.get(component_type, ())

    def message_bound(self) -> int | None:
        """How many messages may wait unfinished before their sender stops; `None` where nothing bounds them."""
        bound = getattr(self.mapping(), "message_bound", None)
        # A dict that shows its keys as attributes may have a component type of that name.
        return bound if isinstance(bound, int) else None

    def _search(self, name: str) -> str | None:
        peers = self.mapping()
        ask: Callable[[str], str | None] | None = _offered(peers, "type_of")
        if ask is not None:
            return ask(name)
        if not any(name in names for names in peers.values()):
            component_type, infix, unique = name.rpartition(_INFIX)
            return component_type if infix and unique and component_type in peers else None
        present = {peer: component_type for component_type, names in peers.items() for peer in names}
        if len(self._type_by_name) > 2 * len(present) + _SPARE_NAMES:
            self._type_by_name.clear()
        # Names that have left stay: their last messages may still be on the way.
        self._type_by_name.update(present)
        return present[name]

    def __repr__(self) -> str:
        return f"PeersView({self._static if self._fetch is None else self._fetch!r})"


def _count(peers: PeersByType, component_type: str) -> int:
    count: Callable[[str], int] | None = _offered(peers, "count")
    return len(peers.get(component_type, ())) if count is None else count(component_type)


def _offered(peers: PeersByType | None, method: str) -> Callable[[str], Any] | None:
    """One of the methods that a live mapping has beyond those of a mapping."""
    found = getattr(peers, method, None)
    # A dict that shows its keys as attributes may have a component type of that name.
    return found if callable(found) else None
