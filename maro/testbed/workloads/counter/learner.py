"""Sends numbered messages of every kind to its actors, and accounts for the answers.

    maro component maro.testbed.workloads.counter.learner

Each round it does one of: a broadcast to all; a request to each, without waiting; a request to each, waiting for the
answers; a blocking request to one. It ends when all rounds are done and all answers are there, or when it is told to
(SIGTERM, Ctrl-C). With the message cache on (`MARO_MESSAGE_CACHE=1`) no answer and no note of an actor may be missing.
"""

from __future__ import annotations

import argparse
import itertools
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from maro.communication import Message, Proxy, SessionMessage, SessionType, group_from_environment
from maro.testbed.workloads.counter.tally import CounterError, Note, Tally
from maro.testbed.workloads.rejoining import rejoin_from_environment
from maro.testbed.workloads.reporting import Report, Reporter, Write, print_json, text_printer
from maro.utils.exception.communication_exception import DriverSendError

ACTOR = "actor"
ASK, ANSWER, NOTE, JOINED, END = "ask", "answer", "note", "joined", "end"
NOTIFICATION = SessionType.NOTIFICATION
ANSWER_WITHIN_MS = 2000
"""How long a round waits for its answers; those of peers that crash come later."""
SILENCE_S = 60.0
"""Without an answer for so long, the end is not waited for any more."""


class Learner:
    """Counts.

    Args:
        proxy: joined to the group, expecting the actors.
        rounds: how many; 0 is without end.
        rate: rounds a second.
        tally: keeps the account.
        write: gets reports.
    """

    def __init__(self, proxy: Proxy, rounds: int, rate: float, tally: Tally, write: Write) -> None:
        self.proxy = proxy
        self.rounds = rounds
        self.tally = tally
        self._each_s = 1 / rate
        self._round = 0
        self._run = secrets.token_hex(4)
        """Of this process: answers to one that was killed before come to this one, and are not its own."""
        self.report = Reporter(write, self.figures)

    def run(self) -> None:
        """All rounds, and the answers to them.

        Raises:
            CounterError: a number is missing, or came out of turn.
        """
        next_s = time.monotonic()
        kinds = itertools.cycle((self._announce, self._ask_each, self._ask_all, self._ask_one))
        for number in self._numbers():
            self._round = number
            next(kinds)(number)
            self._listen(next_s + self._each_s)
            next_s = max(next_s + self._each_s, time.monotonic() - self._each_s)
            self.report("progress")
        self._await_answers()
        for actor in self.proxy.peers_name[ACTOR]:
            with suppress(DriverSendError):  # it has left before it was told to
                self.proxy.isend(SessionMessage(END, self.proxy.name, actor, session_type=NOTIFICATION))

    def figures(self) -> Report:
        """How far it has come, for reports."""
        tally = self.tally
        return {
            "rounds": self._round,
            "answered": tally.answered,
            "open": len(tally.open),
            "heard": tally.heard,
            "messages_by_actor": dict(tally.by_actor),
        }

    def _numbers(self) -> Iterator[int]:
        return itertools.count(1) if not self.rounds else iter(range(1, self.rounds + 1))

    # One round each.

    def _announce(self, number: int) -> None:
        self.proxy.ibroadcast(ACTOR, NOTE, NOTIFICATION, number)

    def _ask_each(self, number: int) -> None:
        for actor in self.proxy.peers_name[ACTOR]:
            with self._asking([actor], number):
                self.proxy.isend(SessionMessage(ASK, self.proxy.name, actor, (self._run, number)))

    def _ask_all(self, number: int) -> None:
        actors = self.proxy.peers_name[ACTOR]
        asked = [(actor, (self._run, number)) for actor in actors]
        with self._asking(actors, number):
            for reply in self.proxy.scatter(ASK, SessionType.TASK, asked, timeout=ANSWER_WITHIN_MS):
                self._take(reply)

    def _ask_one(self, number: int) -> None:
        actors = self.proxy.peers_name[ACTOR]
        if actors:
            actor = actors[number % len(actors)]
            request = SessionMessage(ASK, self.proxy.name, actor, (self._run, number))
            with self._asking([actor], number):
                for reply in self.proxy.send(request, timeout=ANSWER_WITHIN_MS) or ():
                    self._take(reply)

    @contextmanager
    def _asking(self, actors: Sequence[str], number: int) -> Iterator[None]:
        """Meanwhile these are asked; who has left for good, as the error says, owes no answer any more."""
        for actor in actors:
            self.tally.asked(actor, number)
        try:
            yield
        except DriverSendError as error:
            for actor in actors:
                self.tally.excuse(actor, None if repr(actor) in str(error) else number)

    # What comes.

    def _listen(self, until_s: float) -> None:
        """Take in what comes, for so long."""
        while (left_ms := (until_s - time.monotonic()) * 1000) > 0:
            for message in self.proxy.receive(is_continuous=False, timeout=int(left_ms)):
                self._take(message)

    def _take(self, message: Message) -> None:
        if message.tag == ANSWER:
            run, number = message.payload
            if run == self._run:
                self.tally.take_answer(message.source, number)
        elif message.tag == NOTE:
            self.tally.take_note(message.source, Note(*message.payload))
        elif message.tag == JOINED:
            self.report("ready", message.source)

    def _await_answers(self) -> None:
        """Until all are there; without the cache, until no more come."""
        silent_since_s, last = time.monotonic(), -1
        while self.tally.open:
            self._listen(time.monotonic() + 1.0)
            if self.tally.answered != last:
                silent_since_s, last = time.monotonic(), self.tally.answered
                continue
            if not self.tally.keeps:
                return
            for actor in {actor for actor, _ in self.tally.open}:  # who has left for good is known by sending to it
                try:
                    self.proxy.isend(SessionMessage(NOTE, self.proxy.name, actor, session_type=NOTIFICATION))
                except DriverSendError:
                    self.tally.excuse(actor)
            if time.monotonic() - silent_since_s > SILENCE_S:
                missing = sorted(self.tally.open)[:5]
                raise CounterError(f"{len(self.tally.open)} requests were not answered, such as {missing}")


def describe(report: Report) -> str:
    """The figures of a report, for people."""
    return f"round {report['rounds']:6d}  {report['answered']:6d} answers  {report['heard']:6d} notes"


def main() -> None:
    """Join the group that the environment names, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400, help="how many, 0 for no end; default 400")
    parser.add_argument("--rate", type=float, default=50.0, help="rounds a second; default 50")
    parser.add_argument("--json", action="store_true", help="report as lines of JSON")
    arguments = parser.parse_args()
    if arguments.rounds < 0 or not 0 < arguments.rate < float("inf"):
        parser.error("--rounds must not be negative, and --rate must be above 0")
    options = rejoin_from_environment()
    failure = ""
    with Proxy(**group_from_environment(), **options, minimal_peers=0, max_rejoin_times=1000) as proxy:
        tally = Tally(keeps=options["enable_message_cache_for_rejoin"])
        write = print_json if arguments.json else text_printer(describe)
        learner = Learner(proxy, arguments.rounds, arguments.rate, tally, write)
        try:
            learner.run()
        except CounterError as error:
            failure = f"the counting failed: {error}"
        learner.report("failed" if failure else "finished")
    if failure:
        sys.exit(failure)


if __name__ == "__main__":
    main()
