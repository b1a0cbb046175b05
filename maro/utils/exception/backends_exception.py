"""What can go wrong when a simulator's node attributes are read or changed: 2100 to 2110."""

from __future__ import annotations

from maro.utils.exception.base_exception import MAROException


class BackendsGetItemInvalidException(MAROException):
    """Reading with an index that no node or attribute has."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2100, msg)


class BackendsSetItemInvalidException(MAROException):
    """Writing with an index or a value that does not fit the node or attribute."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2101, msg)


class BackendsArrayAttributeAccessException(MAROException):
    """Reading an attribute of several slots as though it had one."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2102, msg)


class BackendsAppendToNonListAttributeException(MAROException):
    """Appending to an attribute that is no list."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2103, msg)


class BackendsResizeNonListAttributeException(MAROException):
    """Resizing an attribute that is no list."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2104, msg)


class BackendsClearNonListAttributeException(MAROException):
    """Clearing an attribute that is no list."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2105, msg)


class BackendsInsertNonListAttributeException(MAROException):
    """Inserting into an attribute that is no list."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2106, msg)


class BackendsRemoveFromNonListAttributeException(MAROException):
    """Removing from an attribute that is no list."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2107, msg)


class BackendsAccessDeletedNodeException(MAROException):
    """Using a node after it was deleted."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2108, msg)


class BackendsInvalidNodeException(MAROException):
    """Using a node type that does not exist."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2109, msg)


class BackendsInvalidAttributeException(MAROException):
    """Using an attribute type that does not exist."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2110, msg)
