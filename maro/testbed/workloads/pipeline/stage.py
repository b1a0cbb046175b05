"""A stage of the pipeline: does its part of the work on each item, and passes it on.

    maro component maro.testbed.workloads.pipeline.stage

What it does follows from its component type: `sieve` divides small prime factors out, `factor` finds the others. Where
its items go follows from the type of peers that it expects: in turn to those that are there now. It remembers nothing,
so it may be killed, started again, added and removed at any time; what is lost with it the source sends again. It
works until it is told to end (SIGTERM, Ctrl-C).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from maro.communication import Message, Proxy, group_from_environment
from maro.testbed.workloads.pipeline.factoring import SMALL, divide_out, factorise, primes_below
from maro.testbed.workloads.pipeline.items import Item
from maro.testbed.workloads.rejoining import rejoin_from_environment

Work = Callable[[int], tuple[list[int], int]]
"""Takes a number apart: the prime factors that it found, and what is left."""


def make_sieve() -> Work:
    """The work of the first stage."""
    primes = primes_below(SMALL)
    return lambda number: divide_out(number, primes)


def make_factor() -> Work:
    """The work of the second stage."""
    return lambda number: (factorise(number), 1)


MAKERS: dict[str, Callable[[], Work]] = {"sieve": make_sieve, "factor": make_factor}


class RoundRobin:
    """Chooses one after the other."""

    def __init__(self) -> None:
        self._turn = 0

    def choose(self, names: Sequence[str]) -> str | None:
        """The next of those that are there now; None where nobody is."""
        self._turn += 1
        return names[self._turn % len(names)] if names else None


class Stage:
    """Works on items as they come.

    Args:
        proxy: joined to the group, expecting the next stage.
        work: what is done here.
    """

    def __init__(self, proxy: Proxy, work: Work) -> None:
        self.proxy = proxy
        self.work = work
        self.visit = (proxy.name, time.time())
        self.round_robin = RoundRobin()
        (self.next_type,) = proxy.peers_name

    def run(self) -> None:
        """Work, until the process is told to end."""
        for message in self.proxy.receive(timeout=-1):
            self.pass_on(message)

    def pass_on(self, message: Message) -> None:
        """Do the work on an item, and forward it, which keeps its session."""
        item: Item = message.payload
        done = item.after(self.visit, *self.work(item.number))
        destination = self.round_robin.choose(self.proxy.peers_name[self.next_type])
        if destination is not None:  # else it is lost, as with a stage that dies, and sent again
            self.proxy.forward(message, destination, payload=done)


def main() -> None:
    """Join the group that the environment names, and work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    group = group_from_environment()
    kind = group["component_type"]
    if kind not in MAKERS:
        sys.exit(f"there is no stage {kind!r}; set COMPONENT_TYPE to {' or '.join(MAKERS)}")
    if len(group["expected_peers"]) != 1:
        sys.exit("a stage passes its items on to peers of one type; let MARO_PEERS name that one, such as sink=1")
    work = MAKERS[kind]()
    with Proxy(**group, **rejoin_from_environment()) as proxy:
        Stage(proxy, work).run()


if __name__ == "__main__":
    main()
