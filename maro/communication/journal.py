"""A component's journal: what it sent, was given, finished and saw of its peers, line by line, for a testbed to judge.

Written where `MARO_JOURNAL` names a folder: one file for each incarnation, `{name}@{incarnation}.jsonl`, the name
percent-encoded. Each line is a JSON object with the event `e` and the time `t` in nanoseconds of the epoch, and is one
write to the operating system, so that it is there whenever the process is killed. The events and their fields are those
of `maro.testbed.history.events`, which reads them.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

_SUFFIX = ".jsonl"
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Journal:
    """The file of one incarnation, from its first line on.

    Args:
        folder: where it is made.
        name: of the component.
        incarnation: of it.

    Raises:
        OSError: it can't be made there.
    """

    def __init__(self, folder: str, name: str, incarnation: int) -> None:
        self.path = Path(folder) / f"{quote(name, safe='')}@{incarnation}{_SUFFIX}"
        self._pid = os.getpid()
        self._file: int | None = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def __repr__(self) -> str:
        return f"Journal({str(self.path)!r})"

    def write(self, event: str, **fields: Any) -> None:
        """One line, now; from any thread. Nothing in a forked child, or after the end."""
        if self._file is not None and os.getpid() == self._pid:
            os.write(self._file, _encode({"e": event, "t": time.time_ns(), **fields}).encode() + b"\n")

    def close(self) -> None:
        """Nothing more is written."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
