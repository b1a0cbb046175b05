"""The learner of the rollout: trains a policy for CartPole from the episodes that its actors play.

    maro component maro.testbed.workloads.rollout.learner --seed 1

Weights go out by broadcast. Trajectories come back, and one conditional event says when there are enough of them: one
from every actor that is in the group now, so that an actor that was killed is not waited for. It ends by itself, with
code 0, when an evaluation has reached the goal.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from maro.communication import Message, Proxy, SessionType, dist, group_from_environment
from maro.testbed.workloads.rollout.settings import TrainingSettings
from maro.testbed.workloads.rollout.trainer import Trainer

ENOUGH = "actor:trajectory:100%"
"""The event that makes an update."""
REPORT_EVERY_S = 0.25

Report = Callable[[dict[str, Any]], None]


class Learner:
    """What the learner knows; its messages are handled by the functions below.

    Args:
        settings: of the training.
        report: told how it goes, now and then and at the end.
    """

    def __init__(self, settings: TrainingSettings, report: Report) -> None:
        self.trainer = Trainer(settings)
        self.episodes_by_actor: Counter[str] = Counter()
        self.stale = 0
        """Trajectories that were too old to learn from."""
        self._report = report
        self._started = time.monotonic()
        self._reported = 0.0

    def weights(self) -> dict[str, Any]:
        """What actors need to play."""
        return {"version": self.trainer.version, "weights": self.trainer.weights()}

    def learn(self, messages: list[Message]) -> None:
        """Update the weights from the trajectories that are not too old."""
        fresh = []
        for message in messages:
            self.episodes_by_actor[message.source] += 1
            if self.trainer.is_stale(message.payload):
                self.stale += 1
            else:
                fresh.append(message.payload)
        if fresh:
            self.trainer.update(fresh)

    def evaluate(self, proxy: Proxy) -> None:
        """Have the actors play the evaluation, a share each; what a dead one owes is played by the others."""
        wanted = self.trainer.settings.evaluation_episodes
        returns: list[float] = []
        weights = self.trainer.weights()
        while len(returns) < wanted:
            actors = proxy.peers_name["actor"]
            shares = [len(part) for part in np.array_split(np.arange(wanted - len(returns)), len(actors) or 1)]
            requests = [
                (actor, {"weights": weights, "episodes": share, "seed": len(returns) + number})
                for number, (actor, share) in enumerate(zip(actors, shares, strict=False))
                if share
            ]
            for reply in proxy.scatter("evaluate", SessionType.TASK, requests):
                returns.extend(reply.payload)
        self.trainer.record_evaluation(returns[:wanted])

    def report(self, event: str, actors: list[str], who: str | None = None) -> None:
        """Say how it goes; progress at most a few times a second."""
        now = time.monotonic()
        if event == "progress" and now - self._reported < REPORT_EVERY_S:
            return
        self._reported = now
        trainer = self.trainer
        self._report(
            {
                "event": event,
                "who": who,
                "at": time.time(),
                "seconds": round(now - self._started, 3),
                "version": trainer.version,
                "episodes": trainer.episodes,
                "steps": trainer.steps,
                "mean_return": round(trainer.mean_return, 2),
                "evaluation": round(trainer.best_mean, 2) if np.isfinite(trainer.best_mean) else None,
                "stale": self.stale,
                "actors": actors,
                "episodes_by_actor": dict(self.episodes_by_actor),
            }
        )


def on_ready(learner: Learner, proxy: Proxy, messages: list[Message]) -> None:
    """An actor has come (back), or has had no weights for a while."""
    for message in messages:
        learner.report("ready", proxy.peers_name["actor"], message.source)
        proxy.reply(message, tag="weights", payload=learner.weights())


def on_trajectories(learner: Learner, proxy: Proxy, messages: list[Message]) -> None:
    """Every actor has played: learn, and send them the new weights."""
    learner.learn(messages)
    if learner.trainer.evaluation_due:
        learner.report("evaluating", proxy.peers_name["actor"])
        learner.evaluate(proxy)
    if learner.trainer.finished:
        learner.report("finished", proxy.peers_name["actor"])
        proxy.close()  # this ends the launch
        return
    learner.report("progress", proxy.peers_name["actor"])
    proxy.ibroadcast("actor", "weights", SessionType.NOTIFICATION, learner.weights())


def print_json(report: dict[str, Any]) -> None:
    """One line for programs."""
    print(json.dumps(report), flush=True)


def print_text(report: dict[str, Any]) -> None:
    """One line for people."""
    evaluation = "" if report["evaluation"] is None else f"  evaluation {report['evaluation']:.1f}"
    print(
        f"{report['seconds']:6.1f} s  {report['event']:<10}  {report['who'] or '':<12}update {report['version']:4d}  "
        f"episodes {report['episodes']:5d}  mean return {report['mean_return']:6.1f}{evaluation}",
        flush=True,
    )


def main() -> None:
    """Join the group that the environment names, and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of everything random in the training; default 0")
    parser.add_argument("--json", action="store_true", help="report as lines of JSON")
    arguments = parser.parse_args()
    with Proxy(**group_from_environment(), enable_rejoin=True) as proxy:
        component = dist(proxy, {"actor:ready:1": on_ready, ENOUGH: on_trajectories})(Learner)
        component(TrainingSettings(seed=arguments.seed), print_json if arguments.json else print_text).launch()


if __name__ == "__main__":
    main()
