"""The process in which one side of a measurement runs.

The harness starts `python -m benchmarks.worker FD LIMIT_S` with one end of a pipe as file descriptor FD, and sends the
role that it is to play: `(function, arguments)`, the function as `module:name`. The role talks to the harness over the
same pipe; messages to its peers go their own way. Little is imported here, because the memory of such a process is
among the things that are measured.
"""

from __future__ import annotations

import importlib
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any


class Link:
    """The way from a role to the harness.

    Args:
        pipe: to the harness.
        arguments: of the role.
    """

    def __init__(self, pipe: Connection, arguments: dict[str, Any]) -> None:
        self.arguments = arguments
        self._pipe = pipe

    def __repr__(self) -> str:
        return f"Link({self.arguments})"

    def say(self, value: Any) -> None:
        """Tell the harness something."""
        self._pipe.send(("value", value))

    def hear(self) -> Any:
        """Wait for what the harness says; EOFError when it is gone."""
        return self._pipe.recv()


def main() -> None:
    """Play the role that the harness names, and tell it what goes wrong."""
    descriptor, limit_s = int(sys.argv[1]), int(sys.argv[2])
    # Whatever blocks, and even if the harness was killed, the process ends.
    signal.alarm(limit_s)
    pipe = Connection(descriptor)
    try:
        role, arguments = pipe.recv()
        module, _, function = role.partition(":")
        getattr(importlib.import_module(module), function)(Link(pipe, arguments))
    except EOFError:
        sys.exit(1)
    except Exception:
        traceback.print_exc()  # for the case that the harness has heard all that it waits for
        pipe.send(("error", traceback.format_exc()))
        sys.exit(1)


if __name__ == "__main__":
    main()
