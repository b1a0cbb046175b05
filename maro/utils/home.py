"""Where the package keeps what belongs to a user: `~/.maro`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def maro_home() -> Path:
    """The absolute path of `~/.maro`, from the environment as it is now; the folder itself may not exist.

    Raises:
        FileNotFoundError: this user has no home folder.
    """
    from pathlib import Path  # late: it would be half of what importing `maro.utils` costs

    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - `Path.home` raises RuntimeError, this one is an OSError
    if not home.is_absolute():
        raise FileNotFoundError("this user has no home folder; set HOME to a folder that can be written")
    return home / ".maro"
