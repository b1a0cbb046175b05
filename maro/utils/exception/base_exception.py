"""The class that every exception of the package descends from."""

from __future__ import annotations

from typing import Any

from maro.utils.exception.error_code import describe


class MAROException(Exception):
    """An error with a code and a text.

    Survives pickling with its attributes, whatever its constructor asks for, so it can cross processes.

    Args:
        error_code: a code of `maro.utils.exception.error_code.ERROR_CODE`; one that is not there is kept all the same.
        msg: what went wrong and what to do; with `None` the text is the one that belongs to the code.
    """

    error_code: int
    """What went wrong, as a number that stays the same between versions."""
    strerror: str
    """What went wrong, as a text."""

    def __init__(self, error_code: int = 1000, msg: str | None = None) -> None:
        self.error_code = error_code
        self.strerror = describe(error_code) if msg is None else str(msg)
        super().__init__(self.strerror)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.strerror})"

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the constructor with `args`, which do not match the signatures of the subclasses.
        return _restore, (type(self), self.args), self.__dict__.copy()


def _restore(cls: type[MAROException], args: tuple[Any, ...]) -> MAROException:
    """An instance whose constructor was not run; its attributes follow from the pickled state."""
    return cls.__new__(cls, *args)
