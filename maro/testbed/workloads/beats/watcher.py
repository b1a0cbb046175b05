"""Tells when the sender disappears and appears among its peers, and when the first beat of each start came."""

from __future__ import annotations

from maro.communication import Proxy, group_from_environment
from maro.testbed.workloads.reporting import Reporter, print_json

_LOOKS_EVERY_MS = 5
SENDER = "sender"


class Watch:
    """What is told of the sender: `absent`, `present`, and `first` of each start of it.

    Args:
        report: takes it.
    """

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._is_present = False
        self._heard_of = 0.0

    def look(self, is_present: bool) -> None:
        """The sender is among the peers, or is not."""
        if is_present != self._is_present:
            self._is_present = is_present
            self._report("present" if is_present else "absent")

    def beat(self, began_s: float) -> None:
        """One came, from the start of the sender that began then."""
        if began_s > self._heard_of:
            self._heard_of = began_s
            self._report("first", began=began_s)


def main() -> None:
    """Until it is asked to leave."""
    watch = Watch(Reporter(print_json, dict))
    with Proxy(**group_from_environment(), enable_rejoin=True, minimal_peers=0, max_rejoin_times=1_000_000) as proxy:
        while True:
            watch.look(bool(proxy.peers_name[SENDER]))
            for message in proxy.receive(timeout=_LOOKS_EVERY_MS):
                # The news come with the receiving, and beats without end may keep it from returning.
                watch.look(bool(proxy.peers_name[SENDER]))
                watch.beat(message.payload)


if __name__ == "__main__":
    main()
