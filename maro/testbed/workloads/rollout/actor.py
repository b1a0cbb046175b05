"""An actor of the rollout: plays an episode with each set of weights that it gets, and sends it to the learner.

    maro component maro.testbed.workloads.rollout.actor --seed 1

It plays until it is told to end (SIGTERM, Ctrl-C). Whatever happens to the learner, to Redis or to itself, the same
rule brings it back into play: who has had no weights for a while asks for them.
"""

from __future__ import annotations

import argparse

from maro.communication import Message, Proxy, SessionMessage, SessionType, group_from_environment
from maro.testbed.workloads.rollout.policy import ActorCritic
from maro.testbed.workloads.rollout.trajectory import evaluate, make_environment, play_episode, random_stream

PATIENCE_MS = 2000
"""After so long without weights the actor asks for them."""


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

    def run(self) -> None:
        """Play, until the process is told to end."""
        self.ask()
        while True:
            weights = self.newest_weights()
            if weights is None:
                self.ask()
            else:
                self.play(weights)

    def ask(self) -> None:
        """Tell the learner, whatever its name is by now, that there is somebody to play."""
        self.proxy.ibroadcast("learner", "ready", SessionType.NOTIFICATION)

    def newest_weights(self) -> Message | None:
        """The last weights of those that have come, waiting for some; evaluations are played on the way."""
        newest = None
        for timeout in (PATIENCE_MS, 0):
            for message in self.proxy.receive(is_continuous=timeout == 0, timeout=timeout):
                if message.tag == "weights":
                    newest = message
                elif message.tag == "evaluate":
                    self.evaluate(message)
        return newest

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
    with Proxy(**group_from_environment(), enable_rejoin=True) as proxy:
        Actor(proxy, arguments.seed).run()


if __name__ == "__main__":
    main()
