"""How long a group took to get over each end of a component that somebody caused."""

from __future__ import annotations

from collections.abc import Sequence

from maro.testbed.history.faults import Injected
from maro.testbed.history.ledger import Ledger, Page
from maro.testbed.history.verdict import Recovery

_S = 1e9


def recoveries(ledger: Ledger, faults: Sequence[Injected]) -> list[Recovery]:
    """One for each fault that ended a component which had joined, in the order of the faults.

    Times are differences between what several processes wrote: on one machine they have one clock.
    """
    found = []
    for fault in faults:
        pages = ledger.incarnations(fault.component)
        before = [page for page in pages if fault.is_kill_of(fault.component, page.start.at_ns)]
        if before:
            found.append(_recovery(ledger, fault, before[-1], pages[len(before) :]))
    return found


def _recovery(ledger: Ledger, fault: Injected, ended: Page, later: Sequence[Page]) -> Recovery:
    old = ended.start.incarnation
    detect: list[int] = []
    rejoin: list[int] = []
    useful = [page.handed[0].at_ns for page in later if page.handed]
    for sighting in ledger.sightings.get(fault.component, ()):
        if sighting.at_ns <= fault.at_ns:
            continue
        is_new = sighting.incarnation > old
        if sighting.kind == "lost" or (sighting.kind == "peer" and is_new):
            detect.append(sighting.at_ns)
        if sighting.kind == "peer" and is_new:
            rejoin.append(sighting.at_ns)
        if sighting.kind == "received" and is_new:
            useful.append(sighting.at_ns)
    first = (min(times, default=None) for times in (detect, rejoin, useful))
    return Recovery(fault.component, *(None if at_ns is None else (at_ns - fault.at_ns) / _S for at_ns in first))
