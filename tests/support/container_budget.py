"""A bound on how many containers all test processes of this machine run at once."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from tests.support.waiting import eventually

AT_ONCE = 12
_PATIENCE_S = 900.0


@contextmanager
def containers(count: int) -> Iterator[None]:
    """Hold the places of so many containers, waiting for them; more than there are count as all.

    A place is a lock on a file, which the kernel gives back when its process ends, however that comes.
    """
    folder = Path(tempfile.gettempdir()) / "maro-container-places"
    folder.mkdir(exist_ok=True)
    with ExitStack() as held:
        # One after the other, so that two who want many don't wait for each other's halves.
        with (folder / "queue").open("w") as queue:
            eventually(lambda: _is_locked(queue), _PATIENCE_S, "a turn to take places for containers")
            places = [held.enter_context((folder / str(number)).open("w")) for number in range(AT_ONCE)]
            wanted = min(count, AT_ONCE)
            taken: list[IO[str]] = []

            def take_some() -> bool:
                taken.extend(
                    place for place in places if place not in taken and len(taken) < wanted and _is_locked(place)
                )
                return len(taken) >= wanted

            eventually(take_some, _PATIENCE_S, f"places for {wanted} containers")
        yield


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
