"""The learner of the rollout: trains a policy for CartPole from the episodes that its actors play.

    maro component maro.testbed.workloads.rollout.learner --seed 1

Weights go out by broadcast. Trajectories come back, and one conditional event says when there are enough of them: one
from every actor that is in the group now, so that an actor that was killed is not waited for. It ends by itself, with
code 0, when an evaluation has reached the goal.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import numpy as np

from maro.communication import Message, Proxy, SessionType, dist, group_from_environment
from maro.testbed.workloads.rejoining import rejoin_from_environment
from maro.testbed.workloads.reporting import Report, Reporter, Write, print_json, text_printer
from maro.testbed.workloads.rollout.settings import TrainingSettings
from maro.testbed.workloads.rollout.trainer import Trainer

ENOUGH = "actor:trajectory:100%"
"""The event that makes an update."""


class Learner:
    """What the learner knows; its messages are handled by the functions below.

    Args:
        settings: of the training.
        write: told how it goes, now and then and at the end.
    """

    def __init__(self, settings: TrainingSettings, write: Write) -> None:
        self.trainer = Trainer(settings)
        self.episodes_by_actor: Counter[str] = Counter()
        self.stale = 0
        """Trajectories that were too old to learn from."""
        self.ended = False
        """Whether the training is over: what still comes is ignored."""
        self.report = Reporter(write, self.figures)

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

    def finish(self, proxy: Proxy) -> None:
        """An evaluation has reached the goal: leave the group, which ends the launch."""
        self.ended = True
        self.report("finished", actors=proxy.peers_name["actor"])
        proxy.close()

    def figures(self) -> Report:
        """How far the training has come, for reports."""
        trainer = self.trainer
        return {
            "version": trainer.version,
            "episodes": trainer.episodes,
            "steps": trainer.steps,
            "mean_return": round(trainer.mean_return, 2),
            "evaluation": round(trainer.best_mean, 2) if np.isfinite(trainer.best_mean) else None,
            "stale": self.stale,
            "episodes_by_actor": dict(self.episodes_by_actor),
        }


def on_ready(learner: Learner, proxy: Proxy, messages: list[Message]) -> None:
    """An actor has come (back), or has had no weights for a while."""
    for message in messages:
        learner.report("ready", message.source, actors=proxy.peers_name["actor"])
        proxy.reply(message, tag="weights", payload=learner.weights())


def on_trajectories(learner: Learner, proxy: Proxy, messages: list[Message]) -> None:
    """Every actor has played: learn, and send them the new weights."""
    if learner.ended:
        return
    learner.learn(messages)
    if learner.trainer.evaluation_due:
        learner.report("evaluating", actors=proxy.peers_name["actor"])
        learner.evaluate(proxy)
    if learner.trainer.finished:
        learner.finish(proxy)
        return
    learner.report("progress", actors=proxy.peers_name["actor"])
    proxy.ibroadcast("actor", "weights", SessionType.NOTIFICATION, learner.weights())


def describe(report: Report) -> str:
    """The figures of a report, for people."""
    evaluation = "" if report["evaluation"] is None else f"  evaluation {report['evaluation']:.1f}"
    return (
        f"update {report['version']:4d}  episodes {report['episodes']:5d}  "
        f"mean return {report['mean_return']:6.1f}{evaluation}"
    )


def parse_arguments(description: str | None, target: float) -> argparse.Namespace:
    """The command line of a learner: `seed`, `target`, `max_updates`, `json`.

    Args:
        description: what `--help` says of the program.
        target: the default of `--target`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of everything random in the training; default 0")
    parser.add_argument(
        "--target",
        type=_return,
        default=target,
        metavar="RETURN",
        help="mean return of the evaluation that ends the training, at most 500; default %(default)g",
    )
    parser.add_argument(
        "--max-updates",
        type=int,
        default=TrainingSettings().max_updates,
        metavar="N",
        help="updates after which the training has failed; default %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="report as lines of JSON")
    return parser.parse_args()


def training_settings(arguments: argparse.Namespace) -> TrainingSettings:
    """The settings of a training that was asked for on the command line.

    The target holds for the training episodes too, from which an evaluation is made: they explore, so an evaluation is
    rarely worse than they are.
    """
    return TrainingSettings(
        seed=arguments.seed,
        training_target=arguments.target,
        evaluation_target=arguments.target,
        max_updates=arguments.max_updates,
    )


def _return(text: str) -> float:
    """A mean return, from the command line."""
    value = float(text)
    if not 0 < value <= 500:
        raise argparse.ArgumentTypeError(f"a mean return lies above 0 and is at most 500, not {value:g}")
    return value


def main() -> None:
    """Join the group that the environment names, and train."""
    arguments = parse_arguments(__doc__, TrainingSettings().evaluation_target)
    with Proxy(**group_from_environment(), **rejoin_from_environment()) as proxy:
        component = dist(proxy, {"actor:ready:1": on_ready, ENOUGH: on_trajectories})(Learner)
        component(training_settings(arguments), print_json if arguments.json else text_printer(describe)).launch()


if __name__ == "__main__":
    main()
