"""Sends a beat every few milliseconds, and says when it began; is killed, and comes back."""

from __future__ import annotations

import time

BEGAN_S = time.time()
"""Before the library is imported: that belongs to a start."""

from maro.communication import Proxy, SessionMessage, SessionType, group_from_environment  # noqa: E402 - see above
from maro.testbed.workloads.reporting import Reporter, print_json  # noqa: E402 - see above

_EVERY_MS = 5
WATCHER = "watcher"


def main() -> None:
    """Until it is killed, or asked to leave."""
    report = Reporter(print_json, dict)
    with Proxy(**group_from_environment(), enable_rejoin=True, minimal_peers=0, max_rejoin_times=1_000_000) as proxy:
        report("joined", began=BEGAN_S)
        while True:
            for watcher in proxy.peers_name[WATCHER]:
                beat = SessionMessage("beat", proxy.name, watcher, BEGAN_S, SessionType.NOTIFICATION)
                proxy.isend(beat)
            for _ in proxy.receive(timeout=_EVERY_MS):
                pass


if __name__ == "__main__":
    main()
