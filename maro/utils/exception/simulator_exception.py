"""What can go wrong when a simulator is set up: 2200."""

from __future__ import annotations

from maro.utils.exception.base_exception import MAROException


class BusinessEngineNotFoundError(MAROException):
    """A scenario whose business engine module can't be found."""

    def __init__(self, *, msg: str | None = None) -> None:
        super().__init__(2200, msg)
