"""Compose's restart policies for processes: whether one that has ended is started again, and after how long. Pure.

As the Docker engine has it: `on-failure:N` starts again at most N times, counted since the last start that was asked
for; `always` and `unless-stopped` start again whatever the exit code is; and what was stopped on purpose stays down.
The pauses double from the engine's own first one, and stay short, since nobody waits here for an overloaded service.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.6
GOOD_RUN_S = 10.0
"""After a run of this length the pauses begin anew."""
_SIGNALLED = 128
"""Docker gives a process that a signal ended this exit code, and the signal's number on top of it."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a process is started again."""

    kind: str
    """`no`, `on-failure`, `always` or `unless-stopped`."""
    most: int = 0
    """Restarts of `on-failure`; 0 for any number."""

    @classmethod
    def parse(cls, text: str) -> RestartPolicy:
        """From Compose's words, which have been checked: `on-failure:10`."""
        kind, _, most = text.partition(":")
        return cls(kind, int(most or 0))

    def starts_again(self, exit_code: int, restarts: int) -> bool:
        """Whether a process that was not asked to stop is started again.

        Args:
            exit_code: as Docker has it.
            restarts: how often it has been already.
        """
        if self.kind == "on-failure":
            return exit_code != 0 and (self.most == 0 or restarts < self.most)
        return self.kind in ("always", "unless-stopped")


def pause_before_restart(last_pause_s: float, ran_s: float) -> float:
    """How long to wait before the next start.

    Args:
        last_pause_s: the pause before the run that has just ended; 0 for none.
        ran_s: how long that run was.
    """
    if last_pause_s == 0 or ran_s >= GOOD_RUN_S:
        return FIRST_PAUSE_S
    return min(2 * last_pause_s, LONGEST_PAUSE_S)


def as_docker_has_it(return_code: int) -> int:
    """A process's end as `subprocess` tells it, as an exit code: 137 for SIGKILL."""
    return return_code if return_code >= 0 else _SIGNALLED - return_code
