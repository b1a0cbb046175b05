"""What can go wrong in a learning toolkit: 4000 to 4002."""

from __future__ import annotations

from maro.utils.exception.base_exception import MAROException


class StoreMisalignment(MAROException):
    """A put that would leave a store's lists with different lengths."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(4000, msg)


class MissingOptimizer(MAROException):
    """A training step of a model that has no optimizer."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(4001, msg)


class UnrecognizedTask(MAROException):
    """A model with a task that the algorithm does not know."""

    def __init__(self, msg: str | None = None) -> None:
        super().__init__(4002, msg)
