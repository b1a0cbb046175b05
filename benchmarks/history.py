"""How long the checker takes over a million events, and how much memory: `python -m benchmarks.history`.

The journals are those of a made-up run: eight actors stream to a learner that answers each message; all of it with the
message cache, so every promise is judged.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ACTORS = 8
LINES_A_ROUND = 10
WITHIN_S, WITHIN_MB = 20.0, 1000.0


def write_journals(folder: Path, events: int) -> None:
    """So many events, more or less, of a learner and its actors."""
    names = ["learner", *(f"actor.{number}" for number in range(ACTORS))]
    files = {name: (folder / f"{name}@{number}.jsonl").open("w") for number, name in enumerate(names, start=1)}
    incarnations = {name: number for number, name in enumerate(names, start=1)}
    clock = iter(range(10**18, 2 * 10**18, 1000))

    def write(name: str, kind: str, **fields: Any) -> None:
        files[name].write(json.dumps({"e": kind, "t": next(clock), **fields}) + "\n")

    for name, incarnation in incarnations.items():
        who = {"v": 1, "name": name, "type": name.partition(".")[0], "group": "g", "incarnation": incarnation}
        files[name].write(json.dumps({"e": "start", "t": next(clock), **who, "level": "cache", "host": "here"}) + "\n")
    for number in range(events // LINES_A_ROUND):
        actor = names[1 + number % ACTORS]
        for message, one, other in _both_ways(number, actor):
            write(one, "offered", m=message, p=other)
            write(one, "accepted", m=message, p=other)
            write(other, "received", m=message, p=one, i=incarnations[one], by="receive")
            write(other, "finished", m=message, p=one)
            write(one, "acked", m=message, p=other)
    for name, file in files.items():
        write(name, "close")
        file.close()


def _both_ways(number: int, actor: str) -> Iterator[tuple[str, str, str]]:
    yield f"{'5f' * 8}-{2 * number}", actor, "learner"
    yield f"{'a7' * 8}-{2 * number + 1}", "learner", actor


def main() -> None:
    """Write the journals, have another process judge them, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="how many there are; default 1000000")
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        write_journals(Path(folder), events)
        began_s = time.monotonic()
        subprocess.run([sys.executable, "-m", "maro.testbed.history", folder], check=True)
        took_s = time.monotonic() - began_s
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    print(f"{events} events: {took_s:.1f} s (limit {WITHIN_S:g}), {megabytes:.0f} MB resident (limit {WITHIN_MB:g})")
    sys.exit(0 if took_s < WITHIN_S and megabytes < WITHIN_MB else 1)


if __name__ == "__main__":
    main()
