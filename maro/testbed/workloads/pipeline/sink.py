"""The end of the pipeline: adds up what the stages have found, and confirms each item to its source.

    maro component maro.testbed.workloads.pipeline.sink

Items may come twice; each is counted once, and confirmed every time. There is one sink, because it has the total. If it
is killed its ledger is lost; the source learns of it by the next confirmation, and sends everything again. It works
until it is told to end (SIGTERM, Ctrl-C).
"""

from __future__ import annotations

import argparse
import secrets

from maro.communication import Message, Proxy, group_from_environment
from maro.testbed.workloads.pipeline.items import Item, Ledger
from maro.testbed.workloads.rejoining import rejoin_from_environment

RUNS_KEPT = 8
"""Ledgers of the latest runs: items of a source that was killed may come after the first ones of its successor."""


class Sink:
    """Counts items as they come.

    Args:
        proxy: joined to the group, expecting the source.
    """

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.ledgers: dict[str, Ledger] = {}
        """By run, the latest one last."""

    def run(self) -> None:
        """Count, until the process is told to end."""
        for message in self.proxy.receive(timeout=-1):
            if message.tag == "item":
                self.count(message)
            elif message.tag == "total":
                ledger = self.ledger(message.payload)
                self.proxy.reply(message, payload=(ledger.key, ledger.total))

    def count(self, message: Message) -> None:
        """Enter an item in its run's ledger, and tell the source."""
        item: Item = message.payload
        ledger = self.ledger(item.run)
        ledger.enter(message.session_id, item)
        if item.origin in self.proxy.peers_name["source"]:
            self.proxy.forward(message, item.origin, tag="confirmed", payload=(ledger.key, item.visits))

    def ledger(self, run: str) -> Ledger:
        """The ledger of a run, a new one for a new run."""
        if run not in self.ledgers:
            self.ledgers[run] = Ledger(secrets.token_hex(8))
            if len(self.ledgers) > RUNS_KEPT:
                del self.ledgers[next(iter(self.ledgers))]
        return self.ledgers[run]


def main() -> None:
    """Join the group that the environment names, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    with Proxy(**group_from_environment(), **rejoin_from_environment()) as proxy:
        Sink(proxy).run()


if __name__ == "__main__":
    main()
