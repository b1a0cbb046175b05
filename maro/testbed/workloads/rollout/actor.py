"""An actor of the rollout: plays an episode with each set of weights that it gets, and sends it to the learner.

    maro component maro.testbed.workloads.rollout.actor --seed 1

Learners may share it: it plays for each in turn. It plays until it is told to end (SIGTERM, Ctrl-C). Whatever happens
to a learner, to Redis or to itself, the same rule brings it back into play: whoever has sent nothing for a while is
asked for weights.
"""

from __future__ import annotations

import argparse
import math
import time

from maro.communication import Message, Proxy, SessionMessage, SessionType, group_from_environment
from maro.testbed.workloads.rejoining import rejoin_from_environment
from maro.testbed.workloads.rollout.policy import ActorCritic
from maro.testbed.workloads.rollout.trajectory import evaluate, make_environment, play_episode, random_stream

PATIENCE_S = 2.0
"""A learner that has sent nothing for so long is asked for weights."""


class Actor:
    """Plays for whoever sends it weights.

    Args:
        proxy: joined to the group, as an actor.
        seed: of this actor's episodes, together with its name.
    """

    def __init__(self, proxy: Proxy, seed: int) -> None:
        self.proxy = proxy
        self.seed = seed
        self.environment = make_environment()
        self.turns: dict[str, Message] = {}
        """By learner, the newest weights that were not played yet; the learner whose turn it is comes first."""
        self.ask_due: dict[str, float] = {}
        """By learner, when it will have been silent for too long."""

    def run(self) -> None:
        """Play, until the process is told to end."""
        while True:
            self.ask_the_silent()
            self.receive()
            if self.turns:
                self.play(self.turns.pop(next(iter(self.turns))))

    def ask_the_silent(self) -> None:
        """Tell learners that have sent nothing for a while that there is somebody to play."""
        learners = self.proxy.peers_name["learner"]
        if not learners:
            # With nobody there, this waits for one to come.
            self.proxy.ibroadcast("learner", "ready", SessionType.NOTIFICATION)
            self.ask_due.clear()
        for learner in learners:
            if time.monotonic() >= self.ask_due.get(learner, -math.inf):
                self.proxy.isend(SessionMessage("ready", self.proxy.name, learner, None, SessionType.NOTIFICATION))
                self.give_time(learner)

    def receive(self) -> None:
        """Take in what has come, waiting for something if there is nothing to play; evaluations are played here."""
        due = min((self.ask_due.get(name, math.inf) for name in self.proxy.peers_name["learner"]), default=math.inf)
        patience_s = min(PATIENCE_S, max(0.0, due - time.monotonic()))
        for timeout in (0 if self.turns else math.ceil(patience_s * 1000), 0):
            for message in self.proxy.receive(is_continuous=timeout == 0, timeout=timeout):
                if message.tag == "weights":
                    self.turns[message.source] = message
                elif message.tag == "evaluate":
                    self.evaluate(message)
                self.give_time(message.source)

    def give_time(self, learner: str) -> None:
        """The learner has sent something, or was asked: it is not silent yet."""
        self.ask_due[learner] = time.monotonic() + PATIENCE_S

    def play(self, weights: Message) -> None:
        """Play an episode with these weights, and send it."""
        version = weights.payload["version"]
        policy = ActorCritic(weights.payload["weights"])
        trajectory = play_episode(self.environment, policy, random_stream(self.seed, self.proxy.name, version), version)
        self.proxy.isend(SessionMessage("trajectory", self.proxy.name, weights.source, trajectory))

    def evaluate(self, request: Message) -> None:
        """Play a share of an evaluation, and reply with the returns."""
        policy = ActorCritic(request.payload["weights"])
        self.proxy.reply(request, payload=evaluate(policy, request.payload["episodes"], request.payload["seed"]))


def main() -> None:
    """Join the group that the environment names, and play."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the episodes; default 0")
    arguments = parser.parse_args()
    with Proxy(**group_from_environment(), **rejoin_from_environment()) as proxy:
        Actor(proxy, arguments.seed).run()


if __name__ == "__main__":
    main()
