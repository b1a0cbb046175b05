"""A component for the trials of the agent: joins, says who else is there, and ends as it is told to.

Its options are JSON in the variable `STATION`: `options` of its Proxy, and `fails`, with which it fails before it
joins. What it says is a line of JSON whenever its peers change. It ends with the code that the file `/tmp/end` holds;
with a negative one it uses more and more memory.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from maro.communication import Proxy, group_from_environment

_LOOKS_EVERY_MS = 50
_END = Path("/tmp/end")


def _use_up_memory() -> None:
    hoard = []
    while True:
        hoard.append(b"x" * (1 << 24))


def main() -> None:
    """Until it is told to end."""
    told = json.loads(os.environ["STATION"])
    if told["fails"]:
        raise RuntimeError("told to fail before joining")
    _END.unlink(missing_ok=True)
    said: list[str] = []
    with Proxy(**group_from_environment(), enable_rejoin=True, minimal_peers=0, **told["options"]) as proxy:
        while not _END.exists():
            for _ in proxy.receive(timeout=_LOOKS_EVERY_MS):
                pass
            peers = sorted(name for names in proxy.peers_name.values() for name in names)
            if peers != said:
                print(json.dumps({"event": "peers", "peers": peers}))
                said = peers
        code = int(_END.read_text())
        if code < 0:
            _use_up_memory()
        if code:
            os._exit(code)  # as a crash that nobody could clear up after
    sys.exit(0)


if __name__ == "__main__":
    main()
