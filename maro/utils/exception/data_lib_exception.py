"""What can be wrong with a simulator's data files: 2000 and 2001."""

from __future__ import annotations

from maro.utils.exception.base_exception import MAROException


class MetaTimestampNotExist(MAROException):
    """A meta file that does not say which column is the timestamp."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2000, msg)


class CimGeneratorInvalidParkingDuration(MAROException):
    """A topology that gives a negative parking duration."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2001, msg)
