"""The health mark: a file that is there while the component is joined, which a container's health check looks for.

    HEALTHCHECK CMD test -e "$MARO_HEALTH_FILE"

It is there from when a Proxy's constructor has succeeded until that Proxy is closed; with several Proxies, while at
least one of them is open. What happens in between it does not tell: a component that was fenced by a successor, or
whose lease ran out while it was paused or cut off, keeps its mark until its Proxy is closed. Only Proxies of the
process that `maro component` runs count, not those of its children.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import MutableMapping
from pathlib import Path

from maro.cli.signals import report

HEALTH_FILE_VARIABLE = "MARO_HEALTH_FILE"
"""Names the file; without it there is no mark."""


class HealthMark:
    """A file of this process; a forked child leaves it alone.

    Args:
        path: of the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()  # the program may change its folder
        self._pid = os.getpid()
        self._reported = False

    def __repr__(self) -> str:
        return f"HealthMark({str(self._path)!r})"

    def show(self, open_proxies: int) -> None:
        """Make the file exist if any Proxy is open, and else not; where that fails, say so once, and go on."""
        if os.getpid() != self._pid:
            return
        try:
            if open_proxies:
                self._path.touch()
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            self._report(error)

    def _report(self, error: OSError) -> None:
        if not self._reported:
            self._reported = True
            report(
                f"the health mark {str(self._path)!r} can't be kept ({error.strerror}), so a health check of this "
                f"component tells nothing; let {HEALTH_FILE_VARIABLE} name a file in a folder that can be written to"
            )


def keep_health_mark(environment: MutableMapping[str, str]) -> None:
    """Keep the mark that the environment names, if any, from now until this process ends.

    The variable is taken out: components that this one starts as processes of their own have no part in its health.
    """
    name = environment.pop(HEALTH_FILE_VARIABLE, "")
    if not name:
        return
    mark = HealthMark(Path(name))
    # A predecessor that was killed in the same container has left its own behind.
    mark.show(0)
    # After that, not before: importing the library takes a while.
    from maro.communication.lifetime import on_change

    on_change(mark.show)
    # A Proxy that another thread is using when the process ends is not closed.
    atexit.register(mark.show, 0)
