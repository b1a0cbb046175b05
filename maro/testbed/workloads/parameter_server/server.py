"""The parameter server: keeps the weights of a regression, and moves them by the gradients that its workers send.

    maro component maro.testbed.workloads.parameter_server.server --seed 1

One conditional event says when to update: as soon as half of the workers that are in the group now have sent a
gradient. Nobody waits for the slower half, whose gradients are simply older when their turn comes. It ends by itself,
with code 0 when the loss is within one per cent of the optimum, with code 1 and a sentence when no updates are left.
"""

from __future__ import annotations

import argparse
import sys
import uuid

from maro.communication import Message, Proxy, SessionType, dist, group_from_environment
from maro.testbed.workloads.diabetes import regression_or_exit
from maro.testbed.workloads.parameter_server.descent import Descent, Verdict
from maro.testbed.workloads.parameter_server.settings import ServerSettings
from maro.testbed.workloads.rejoining import rejoin_from_environment
from maro.testbed.workloads.reporting import Report, Reporter, Write, print_json, text_printer

HALF = "worker:gradient:50%"
"""The event that makes an update."""


class Server:
    """What the server knows; its messages are handled by the functions below.

    Args:
        proxy: joined to the group, as the server.
        descent: the training.
        write: gets the reports on how it goes.
    """

    def __init__(self, proxy: Proxy, descent: Descent, write: Write) -> None:
        self.proxy = proxy
        self.descent = descent
        self.failure: str | None = None
        self.report = Reporter(write, self.figures)

    def figures(self) -> Report:
        """How far the training has come."""
        descent = self.descent
        return {
            "run": descent.run,
            "updates": descent.version,
            "loss": round(descent.loss, 3),
            "optimum": round(descent.optimum, 3),
            "ratio": round(descent.ratio, 5),
            "workers": self.proxy.peers_name["worker"],
            "gradients_by_worker": dict(descent.gradients_by_worker),
            "staleness": {"mean": round(descent.mean_staleness, 3), "most": max(descent.staleness, default=0)},
            "foreign": descent.foreign,
        }


def on_ready(server: Server, proxy: Proxy, messages: list[Message]) -> None:
    """A worker has come (back), or has had no answer for a while."""
    for message in messages:
        server.report("ready", message.source)
        proxy.reply(message, tag="weights", payload=server.descent.weights(applied=[message.source]))


def on_gradients(server: Server, proxy: Proxy, messages: list[Message]) -> None:
    """Half of the workers have sent a gradient: update, and send everybody the new weights."""
    descent = server.descent
    # The last one of each: a worker that asked again, or came back, may have sent two.
    descent.update({message.source: message.payload for message in messages})
    verdict = descent.verdict(proxy.peers_name["worker"])
    if verdict is Verdict.GOING_ON:
        server.report("progress")
        weights = descent.weights(applied=[message.source for message in messages])
        proxy.ibroadcast("worker", "weights", SessionType.NOTIFICATION, weights)
        return
    if verdict is Verdict.FAILED:
        server.failure = descent.failure()
        server.report("failed", reason=server.failure)
    else:
        server.report("finished")
    proxy.close()  # this ends the launch


def describe(report: Report) -> str:
    """The figures as text."""
    counts = ", ".join(f"{worker} {count}" for worker, count in sorted(report["gradients_by_worker"].items()))
    return (
        f"update {report['updates']:6d}  loss {report['loss']:8.1f}  optimum {report['optimum']:.1f}  "
        f"ratio {report['ratio']:.4f}  staleness {report['staleness']['mean']:.2f}  gradients {counts or 'none'}"
    )


def main() -> None:
    """Join the group that the environment names, and train."""
    defaults = ServerSettings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="report as lines of JSON")
    parser.add_argument(
        "--max-updates", type=int, default=defaults.max_updates, help="before it counts as failed; default %(default)s"
    )
    arguments = parser.parse_args()
    descent = Descent(regression_or_exit(), uuid.uuid4().hex, ServerSettings(max_updates=arguments.max_updates))
    with Proxy(**group_from_environment(), **rejoin_from_environment()) as proxy:
        server = dist(proxy, {"worker:ready:1": on_ready, HALF: on_gradients})(Server)(
            proxy, descent, print_json if arguments.json else text_printer(describe)
        )
        server.launch()
    if server.failure:
        sys.exit(server.failure)


if __name__ == "__main__":
    main()
