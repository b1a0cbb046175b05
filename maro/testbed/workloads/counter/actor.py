"""Answers numbered requests, and sends numbered notes of its own.

    maro component maro.testbed.workloads.counter.actor

It works until its learner says that this is the end, or it is told so (SIGTERM, Ctrl-C).
"""

from __future__ import annotations

import argparse
import secrets
from contextlib import suppress

from maro.communication import Proxy, SessionMessage, SessionType, group_from_environment
from maro.testbed.workloads.counter.learner import ANSWER, ASK, END, JOINED, NOTE
from maro.testbed.workloads.rejoining import rejoin_from_environment
from maro.utils.exception.communication_exception import DriverSendError

LEARNER = "learner"


class Actor:
    """Answers.

    Args:
        proxy: joined to the group, expecting the learner.
    """

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.run_key = secrets.token_hex(4)
        self._number = 0

    def run(self) -> None:
        """Until the end."""
        self._tell(JOINED, None)
        for message in self.proxy.receive(timeout=-1):
            if message.tag == ASK:
                with suppress(DriverSendError):  # the learner has left for good
                    self.proxy.reply(message, tag=ANSWER)
                self._number += 1
                self._tell(NOTE, (self.run_key, self._number))
            elif message.tag == END:
                return

    def _tell(self, tag: str, payload: object) -> None:
        for learner in self.proxy.peers_name[LEARNER]:
            note = SessionMessage(tag, self.proxy.name, learner, payload, SessionType.NOTIFICATION)
            with suppress(DriverSendError):
                self.proxy.isend(note)


def main() -> None:
    """Join the group that the environment names, and answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    options = rejoin_from_environment()
    with Proxy(**group_from_environment(), **options, minimal_peers=0, max_rejoin_times=1000) as proxy:
        Actor(proxy).run()


if __name__ == "__main__":
    main()
