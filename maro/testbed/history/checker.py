"""Judges journals: which promises about messages were broken, and how long recoveries took. Pure: journals in.

What is promised depends on the level of the sender (`live`, `rejoin`, `cache`, see `events`), and what can be judged on
what was written before a process was killed:

    lost          With the cache, a message that was *accepted* is *finished* by some incarnation of its receiver,
                  unless its sender was killed (it alone may have held it) or has said that it is *undeliverable*. A
                  killed receiver wrote *finished* before it told its sender, so one that is missing was never told.
                  Without the cache a killed or disturbed end explains a loss; where there was none, nothing that was
                  accepted may be missing before one that arrived, nor at all before the run was drained.
    duplicated    One incarnation is handed a message once, at every level. A later one may be handed it again, for
                  *finished* may not have reached the sender; once the sender wrote *acked*, an incarnation that
                  starts later is not handed it any more.
    reordered     What an iterator hands out of one incarnation is in the order in which that one *offered* it.
    phantom       *offered* is written before a message can leave, so what is handed out was offered, unless there is
                  no journal of its sender, or that was cut.
    split brain   A component that has written *peer* of an incarnation takes nothing from an older one any more.
    unfinished    A call that waits for replies writes how it ended. One that was under way when its process was
    call          killed is none; one that still is when the run was drained is.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from maro.testbed.history.events import CACHE
from maro.testbed.history.faults import Injected, touched
from maro.testbed.history.ledger import Ledger, Page, Stream
from maro.testbed.history.reader import Journal
from maro.testbed.history.recoveries import recoveries
from maro.testbed.history.verdict import Limits, Verdict, judge_recoveries

_NOBODY_IN_PARTICULAR = ""


def check(
    journals: Iterable[Journal],
    faults: Sequence[Injected] = (),
    *,
    limits: Limits | None = None,
    drained_ns: int | None = None,
) -> Verdict:
    """Judge a run.

    Args:
        journals: of all its components.
        faults: that were injected.
        limits: of its recoveries; none by default.
        drained_ns: a time, in nanoseconds of the epoch, after which nothing was sent any more, and long enough before
            the end that everything had arrived; None where the run just ended.

    Raises:
        JournalError: one can't be read.
    """
    ledger = Ledger(journals)
    verdict = Verdict(counts=dict(ledger.counts))
    _Judge(ledger, faults, drained_ns, verdict).judge()
    verdict.recoveries = recoveries(ledger, faults)
    judge_recoveries(verdict, limits or Limits())
    return verdict


class _Judge:
    def __init__(self, ledger: Ledger, faults: Sequence[Injected], drained_ns: int | None, verdict: Verdict) -> None:
        self._ledger = ledger
        self._faults = faults
        self._touched = touched(faults)
        self._drained_ns = drained_ns
        self._verdict = verdict
        self._by_name = {name: ledger.incarnations(name) for name in ledger.names}

    def judge(self) -> None:
        for page in self._ledger.pages.values():
            self._judge_handed(page)
            self._judge_calls(page)
            for text in page.outdated:
                self._verdict.add("split brain", text)
            for text in page.unseen:
                self._verdict.add("finished unseen", text)
        finished = {
            name: {message for page in pages for message, _ in page.finished} for name, pages in self._by_name.items()
        }
        handed = {name: {one.message for page in pages for one in page.handed} for name, pages in self._by_name.items()}
        for (sender, incarnation, receiver), stream in self._ledger.streams.items():
            page = self._ledger.pages[sender, incarnation]
            if receiver not in self._by_name:
                self._count("messages to components without a journal", len(stream.accepted))
            elif page.start.level == CACHE:
                self._judge_kept(page, receiver, stream, finished[receiver])
            else:
                self._judge_live(page, receiver, stream, handed[receiver])

    # What was handed out.

    def _judge_handed(self, page: Page) -> None:
        seen: set[tuple[str, str]] = set()
        last: dict[tuple[str, int], int] = {}
        me = page.start.name
        for message, sender, incarnation, is_in_turn, _ in page.handed:
            key = message, sender
            if key in seen:
                self._verdict.add("duplicated", f"{message} of {sender} to {page.start}")
            seen.add(key)
            stream = self._ledger.streams.get((sender, incarnation, me))
            place = stream.offered.get(message) if stream is not None else None
            if stream is None or place is None:
                self._judge_unknown(message, sender, incarnation, page)
                continue
            if is_in_turn:
                if place < last.get((sender, incarnation), -1):
                    self._verdict.add("reordered", f"{message} of {sender}@{incarnation} to {page.start}")
                last[sender, incarnation] = place
            acked_ns = stream.acked_ns.get(message)
            if acked_ns is not None and acked_ns < page.start.at_ns and self._share_a_clock(sender, incarnation, page):
                late_s = (page.start.at_ns - acked_ns) / 1e9
                self._verdict.add(
                    "duplicated",
                    f"{message} of {sender}, which knew that it was finished {late_s:.3f} s before {page.start} began",
                )

    def _judge_unknown(self, message: str, sender: str, incarnation: int, page: Page) -> None:
        wrote = self._ledger.pages.get((sender, incarnation))
        if wrote is None or wrote.is_cut:
            self._count("messages of components without a journal", 1)
        else:
            self._verdict.add("phantom", f"{message} of {sender}@{incarnation} to {page.start}")

    def _share_a_clock(self, sender: str, incarnation: int, page: Page) -> bool:
        return self._ledger.pages[sender, incarnation].start.host == page.start.host

    # What was accepted.

    def _judge_kept(self, page: Page, receiver: str, stream: Stream, finished: set[str]) -> None:
        if self._was_killed(page):
            return
        for message in stream.accepted:
            if message not in finished and message not in stream.undeliverable and message not in stream.dropped:
                self._verdict.add("lost", functools.partial(self._how_it_was_lost, message, page, receiver))

    def _how_it_was_lost(self, message: str, page: Page, receiver: str) -> str:
        to = [str(one.start) for one in self._by_name[receiver] if any(item.message == message for item in one.handed)]
        how_far = f"handed to {' and '.join(to)}, and not finished" if to else "never handed out"
        return f"{message} of {page.start} to {receiver}, {how_far}"

    def _judge_live(self, page: Page, receiver: str, stream: Stream, handed: set[str]) -> None:
        """A loss has an explanation, if anything was done to one of the two, or one of them began anew."""
        names = {page.start.name, receiver, _NOBODY_IN_PARTICULAR}
        pages = [*self._by_name[page.start.name], *self._by_name[receiver]]
        if names & self._touched or len(pages) != len({one.start.name for one in pages}):
            return
        last = max((place for message, place in stream.offered.items() if message in handed), default=-1)
        for message, at_ns in stream.accepted.items():
            if message in handed or message in stream.dropped or message in stream.undeliverable:
                continue
            is_overtaken = stream.offered.get(message, -1) < last
            if is_overtaken or (self._drained_ns is not None and at_ns <= self._drained_ns):
                self._verdict.add("lost", f"{message} of {page.start} to {receiver}, though nothing was done to them")

    # Calls.

    def _judge_calls(self, page: Page) -> None:
        if self._was_killed(page):
            return
        for number, kind in page.calls.items():
            self._verdict.add("unfinished call", f"{kind} number {number} of {page.start}")

    def _was_killed(self, page: Page) -> bool:
        """Whether the process ended without a last line, so that it may have done more than it wrote."""
        if page.has_ended:
            return not page.has_left
        name = page.start.name
        is_last = self._by_name[name][-1] is page
        return page.is_cut or not is_last or any(fault.is_kill_of(name, page.start.at_ns) for fault in self._faults)

    def _count(self, what: str, more: int) -> None:
        if more:
            self._verdict.counts[what] = self._verdict.counts.get(what, 0) + more
