"""One of several learners that train policies of their own from the episodes of the same actors.

    maro component maro.testbed.workloads.multi_learner.learner --seed 1

It trains as the learner of the workload `rollout` does, whose actors play for all. Learners end together: whoever has
reached its goal stays until all the others have, and the exit code is 0 only if everybody did. One that is killed comes
back and starts afresh; the others wait for it, for a minute while it is not there at all.
"""

from __future__ import annotations

import math
import sys
import time

from maro.communication import Message, Proxy, SessionType, dist, group_from_environment
from maro.testbed.workloads.multi_learner.agreement import Agreement
from maro.testbed.workloads.rejoining import rejoin_from_environment
from maro.testbed.workloads.reporting import Report, Write, print_json, text_printer
from maro.testbed.workloads.rollout import learner as rollout
from maro.testbed.workloads.rollout.settings import TrainingSettings
from maro.testbed.workloads.rollout.trainer import TrainingError

TARGET = 195.0
"""The mean return at which CartPole counted as solved when episodes ended after 200 steps: some seconds of training."""
ASK_EVERY_S = 2.0
"""A learner that waits for the others tells them so, and asks, this often."""
ABSENCE_S = 60.0
"""A learner that is missing for so long is not waited for any more: restarting a container takes less."""


class Learner(rollout.Learner):
    """A learner that knows how the others stand.

    Args:
        settings: of its own training.
        write: told how it goes.
        agreement: of all learners.
    """

    def __init__(self, settings: TrainingSettings, write: Write, agreement: Agreement) -> None:
        super().__init__(settings, write)
        self.agreement = agreement
        self.reason = "this learner has not ended its training"
        """Why the exit code is not 0; empty if it is."""

    def figures(self) -> Report:
        """How far the training has come, and whether the others have reached their goals."""
        return {**super().figures(), "others": self.agreement.results()}

    def finish(self, proxy: Proxy) -> None:
        """The goal is reached: wait for the others, and leave the group, which ends the launch."""
        self.end(proxy, reached=True, reason="")

    def end(self, proxy: Proxy, reached: bool, reason: str) -> None:
        """The training is over, for this reason where the goal was not reached: wait for the others, and leave."""
        self.ended = True
        self.agreement.end(reached)
        self.report("waiting", actors=proxy.peers_name["actor"])
        everybody = self.await_the_others(proxy)
        if reason:
            self.reason = reason
        elif not everybody:
            self.reason = f"another learner was missing for {ABSENCE_S:g} s"
        elif not self.agreement.succeeded:
            self.reason = f"not all of the others have reached their goals: {self.agreement.results()}"
        else:
            self.reason = ""
        self.report("failed" if self.reason else "finished", actors=proxy.peers_name["actor"])
        proxy.close()

    def await_the_others(self, proxy: Proxy) -> bool:
        """Exchange results until this learner may leave; False where another one is missing for too long."""
        ask_due = -math.inf
        complete_s = time.monotonic()
        while not self.agreement.is_settled(proxy.peers_name["learner"]):
            now = time.monotonic()
            if not self.agreement.misses(proxy.peers_name["learner"]):
                complete_s = now
            elif now - complete_s >= ABSENCE_S:
                return False
            if now >= ask_due:
                ask_due = now + ASK_EVERY_S
                ask_the_others(self, proxy)
            timeout = math.ceil(1000 * max(0.0, ask_due - now))
            for message in proxy.receive(is_continuous=False, timeout=timeout, wake_on_peer_change=True):
                # Actors that have nothing to play ask for weights, in vain.
                if message is not None and message.tag == "standing":
                    on_standing(self, proxy, [message])
        return True


def ask_the_others(learner: Learner, proxy: Proxy) -> None:
    """Tell the other learners how this one stands, and ask how they do."""
    proxy.ibroadcast("learner", "standing", SessionType.TASK, learner.agreement.own())


def on_standing(learner: Learner, proxy: Proxy, messages: list[Message]) -> None:
    """Another learner has told how it stands: if it was no answer it gets one."""
    for message in messages:
        learner.agreement.take(message.payload)
        if message.request_id is None:
            proxy.reply(message, payload=learner.agreement.own())


def on_trajectories(learner: Learner, proxy: Proxy, messages: list[Message]) -> None:
    """Every actor has played: learn; a training without success is a result as well."""
    try:
        rollout.on_trajectories(learner, proxy, messages)
    except TrainingError as error:
        learner.end(proxy, reached=False, reason=str(error))


def main() -> None:
    """Join the group that the environment names, train, and end with the others."""
    arguments = rollout.parse_arguments(__doc__, TARGET)
    settings = rollout.training_settings(arguments)
    group = group_from_environment()
    started_s = time.time()
    # A learner goes on while no other one is there; actors it needs.
    with Proxy(**group, **rejoin_from_environment(), minimal_peers={"actor": 1}) as proxy:
        agreement = Agreement(proxy.name, started_s, group["expected_peers"].get("learner", 0))
        write = print_json if arguments.json else text_printer(rollout.describe)
        component = dist(
            proxy,
            {
                "actor:ready:1": rollout.on_ready,
                "learner:standing:1": on_standing,
                rollout.ENOUGH: on_trajectories,
            },
        )(Learner)
        learner = component(settings, write, agreement)
        ask_the_others(learner, proxy)  # they may have the result of the process before this one
        learner.launch()
    if learner.reason:
        sys.exit(f"{proxy.name} failed: {learner.reason}")


if __name__ == "__main__":
    main()
