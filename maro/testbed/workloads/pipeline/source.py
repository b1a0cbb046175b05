"""The beginning of the pipeline: makes numbers of known prime factors, and has the stages find these factors.

    maro component maro.testbed.workloads.pipeline.source --seed 1

A bounded window of numbers is on its way at a time, each as a session. What is not confirmed by the sink in time is
sent again, so any component may be killed and started again. When all are confirmed the sink is asked for its total:
the exit code is 0 if that is the one which the source has computed while it made the numbers. A source that is killed
itself begins a new run, which the sink counts apart.
"""

from __future__ import annotations

import argparse
import math
import random
import secrets
import sys
import time
from collections import Counter

from maro.communication import Message, Proxy, SessionMessage, group_from_environment
from maro.testbed.workloads.pipeline.deliveries import Deliveries
from maro.testbed.workloads.pipeline.factoring import SMALL, make_number, primes_below
from maro.testbed.workloads.pipeline.items import Item, Total, Visit
from maro.testbed.workloads.pipeline.stage import RoundRobin
from maro.testbed.workloads.rejoining import rejoin_from_environment
from maro.testbed.workloads.reporting import Report, Reporter, Write, print_json, text_printer

WINDOW = 16
"""Numbers on their way at a time: more wait longer for a stage, and more are lost with one."""
PATIENCE_S = 2.0
"""After so long without a confirmation, a number is sent again."""
SILENCE_S = 120.0
"""After so long without any, the pipeline counts as broken."""


class PipelineError(Exception):
    """The pipeline does not do what it should; the text says what is wrong."""


class Source:
    """Sends numbers until all of them have come through.

    Args:
        proxy: joined to the group, expecting the first stage (`sieve`) and the `sink`.
        numbers: the prime factors of each.
        write: told how it goes, now and then and at the end.
    """

    def __init__(self, proxy: Proxy, numbers: list[list[int]], write: Write) -> None:
        self.proxy = proxy
        self.numbers = [math.prod(factors) for factors in numbers]
        self.expected = Total()
        for factors in numbers:
            self.expected = self.expected.plus(factors)
        self.run_key = secrets.token_hex(8)
        self.sessions = {f"{self.run_key}-{item}": item for item in range(len(numbers))}
        """The item of each session id."""
        self.deliveries = Deliveries(len(numbers), WINDOW, PATIENCE_S)
        self.items_by_stage: Counter[str] = Counter()
        self.total: Total | None = None
        """The sink's, once all numbers have come through."""
        self.round_robin = RoundRobin()
        self._stages: dict[str, float] = {}
        self.report = Reporter(write, self.figures)
        self._confirmed_at = time.monotonic()

    def run(self) -> None:
        """Send all numbers, and check what the sink makes of them.

        Raises:
            PipelineError: nothing comes through, or the sink's total is not the right one.
        """
        while True:
            while not self.deliveries.complete:
                self.send_due()
                self.receive()
            total = self.ask_for_total()
            if total is None:
                continue
            self.total = total
            if total != self.expected:
                raise PipelineError(f"the sink has {total}; it should have {self.expected}")
            return

    def send_due(self) -> None:
        """Send what has not been sent, as far as the window allows, and again what was not confirmed in time."""
        for item in self.deliveries.take_due(time.monotonic()):
            stage = self.round_robin.choose(self.proxy.peers_name["sieve"])
            if stage is not None:  # else it is not confirmed, and due again
                payload = Item(self.proxy.name, self.run_key, self.numbers[item])
                session_id = f"{self.run_key}-{item}"
                self.proxy.isend(SessionMessage("item", self.proxy.name, stage, payload, session_id=session_id))

    def receive(self) -> None:
        """Take in the next confirmation, waiting at most until something is to be sent again."""
        now = time.monotonic()
        if now - self._confirmed_at > SILENCE_S:
            raise PipelineError(
                f"no number has come through for {SILENCE_S:g} s; {len(self.deliveries.confirmed)} of "
                f"{len(self.numbers)} did before. Look whether all stages and the sink are running"
            )
        wait_s = min(PATIENCE_S, max(0.0, self.deliveries.next_due_s() - now))
        for message in self.proxy.receive(is_continuous=False, timeout=math.ceil(wait_s * 1000)):
            if message.tag == "confirmed" and message.session_id in self.sessions:
                self.take_confirmation(message)

    def take_confirmation(self, message: Message) -> None:
        """An item has reached the sink."""
        ledger, visits = message.payload
        if self.deliveries.confirm(self.sessions[message.session_id], ledger):
            self._confirmed_at = time.monotonic()
            for visit in visits:
                self.take_visit(visit)
            self.report("progress")

    def take_visit(self, visit: Visit) -> None:
        """A stage has done its part."""
        name, started = visit
        self.items_by_stage[name] += 1
        if started > self._stages.get(name, -math.inf):
            self._stages[name] = started
            self.report("ready", name)

    def ask_for_total(self) -> Total | None:
        """The sink's total, None if it does not answer, or has lost its ledger."""
        sink = self.round_robin.choose(self.proxy.peers_name["sink"])
        replies = None
        if sink is not None:
            request = SessionMessage("total", self.proxy.name, sink, self.run_key)
            replies = self.proxy.send(request, timeout=math.ceil(PATIENCE_S * 1000))
        if not replies:
            self.receive()
            return None
        ledger, total = replies[0].payload
        self.deliveries.found(ledger)
        return total if self.deliveries.complete else None

    def figures(self) -> Report:
        """How far it has come, for reports."""
        return {
            "confirmed": len(self.deliveries.confirmed),
            "numbers": len(self.numbers),
            "sent_again": self.deliveries.repeats,
            "lost_ledgers": self.deliveries.lost_ledgers,
            "items_by_stage": dict(self.items_by_stage),
            "total": self.total and str(self.total),
        }


def describe(report: Report) -> str:
    """The figures of a report, for people."""
    total = f"  the sink has {report['total']}" if report["total"] else ""
    return f"{report['confirmed']:5d} of {report['numbers']} numbers  {report['sent_again']:3d} sent again{total}"


def make_numbers(count: int, seed: int) -> list[list[int]]:
    """Numbers as their prime factors; the same ones whenever count and seed are the same."""
    rng = random.Random(seed)
    small_primes = primes_below(SMALL)
    return [make_number(rng, small_primes) for _ in range(count)]


def main() -> None:
    """Join the group that the environment names, and have numbers taken apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the numbers; default 0")
    parser.add_argument("--numbers", type=int, default=1000, help="how many; default 1000")
    parser.add_argument("--json", action="store_true", help="report as lines of JSON")
    arguments = parser.parse_args()
    if arguments.numbers < 1:
        parser.error(f"--numbers must be at least 1, not {arguments.numbers}")
    numbers = make_numbers(arguments.numbers, arguments.seed)
    failure = ""
    with Proxy(**group_from_environment(), **rejoin_from_environment()) as proxy:
        source = Source(proxy, numbers, print_json if arguments.json else text_printer(describe))
        try:
            source.run()
        except PipelineError as error:
            failure = f"the pipeline failed: {error}"
        source.report("failed" if failure else "finished")
    if failure:
        sys.exit(failure)


if __name__ == "__main__":
    main()
