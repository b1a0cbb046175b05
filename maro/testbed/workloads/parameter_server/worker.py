"""A worker of the parameter server: computes gradients on the newest weights that it has, and sends them.

    maro component maro.testbed.workloads.parameter_server.worker --seed 1

It has one gradient on the way at a time, and takes up the next one when the server has applied it: a server that is
slower than its workers would otherwise be flooded. It works until it is told to end (SIGTERM, Ctrl-C). Whatever
happens to the server, to Redis or to itself, the same rule brings it back to work: who has had no answer for a while
asks for weights.
"""

from __future__ import annotations

import argparse
import time

from maro.communication import Proxy, SessionMessage, SessionType, group_from_environment
from maro.testbed.workloads.diabetes import regression_or_exit
from maro.testbed.workloads.parameter_server.descent import Weights, worker_gradient
from maro.testbed.workloads.parameter_server.settings import ServerSettings
from maro.testbed.workloads.regression import Regression
from maro.testbed.workloads.rejoining import rejoin_from_environment

PATIENCE_S = 2.0
"""After so long without an answer to its gradient the worker asks for weights."""


class Worker:
    """Computes gradients for whoever sends it weights.

    Args:
        proxy: joined to the group, as a worker.
        regression: the task.
        settings: of the training.
    """

    def __init__(self, proxy: Proxy, regression: Regression, settings: ServerSettings) -> None:
        self.proxy = proxy
        self.regression = regression
        self.settings = settings
        self.server = ""
        """Who sent the newest weights."""
        self.weights: Weights | None = None
        self.free = False
        """Whether the server has answered what was sent last."""
        self.patient_until = 0.0

    def run(self) -> None:
        """Work, until the process is told to end."""
        self.ask()
        while True:
            self.receive()
            if self.free and self.weights is not None:
                self.push(self.weights)
            elif time.monotonic() >= self.patient_until:
                self.ask()

    def ask(self) -> None:
        """Tell the server, whatever its name is by now, that there is somebody to work."""
        self.proxy.ibroadcast("server", "ready", SessionType.NOTIFICATION)
        self.wait_for_answer()

    def receive(self) -> None:
        """Take in all the weights that have come, waiting for some as long as patience lasts; the newest are kept."""
        patience_ms = max(0, round((self.patient_until - time.monotonic()) * 1000))
        for timeout in (patience_ms, 0):
            for message in self.proxy.receive(is_continuous=timeout == 0, timeout=timeout):
                self.server, self.weights = message.source, message.payload
                self.free = self.free or self.proxy.name in message.payload.applied

    def push(self, weights: Weights) -> None:
        """Compute a gradient with these weights, and send it."""
        gradient = worker_gradient(self.regression, self.settings, self.proxy.name, weights)
        self.proxy.isend(SessionMessage("gradient", self.proxy.name, self.server, gradient))
        self.wait_for_answer()

    def wait_for_answer(self) -> None:
        """Something was sent, and the server's answer is due."""
        self.free = False
        self.patient_until = time.monotonic() + PATIENCE_S


def main() -> None:
    """Join the group that the environment names, and work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the minibatches; default 0")
    arguments = parser.parse_args()
    regression = regression_or_exit()
    with Proxy(**group_from_environment(), **rejoin_from_environment()) as proxy:
        Worker(proxy, regression, ServerSettings(seed=arguments.seed).validate()).run()


if __name__ == "__main__":
    main()
