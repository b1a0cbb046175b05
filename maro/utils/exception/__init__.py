"""Exceptions by area, all of them descendants of `MAROException`.

Import them from the module of their area; `base_exception` and `error_code` hold what they share.
"""

from maro.utils.exception.base_exception import MAROException
from maro.utils.exception.error_code import ERROR_CODE

__all__ = ["ERROR_CODE", "MAROException"]
