"""A node of the mesh: trains on its share of the data, and averages its weights with those of all other nodes.

    maro component maro.testbed.workloads.mesh.node --nodes 4

All nodes run this program; each is a peer of all others, of its own type. In each round a node sends its weights to
everybody, and one conditional event says when it has those of all who are in the group now. A node ends by itself: with
code 0 as soon as it has verified the result and all others have told that they did, so that the first to end stands for
all; with code 1 and a sentence when the rounds are used up.

Nobody waits for ever: who has got no further for a while asks the others, and each answers with its weights.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable

from maro.communication import Message, Proxy, RegisterTable, SessionType, group_from_environment
from maro.testbed.workloads.diabetes import regression_or_exit
from maro.testbed.workloads.mesh.gossip import Gossip
from maro.testbed.workloads.mesh.settings import MeshSettings
from maro.testbed.workloads.rejoining import rejoin_from_environment
from maro.testbed.workloads.reporting import Report, Reporter, Write, print_json, text_printer

EVERYBODY = "node:weights:100%"
"""The event that ends a round."""
PATIENCE_S = 2.0
"""After so long without getting any further the node asks for what it misses."""
MEET_WITHIN_S = 120.0
"""How long the nodes wait for each other at the start."""


class Node:
    """One node.

    Args:
        proxy: joined to the group, as a node.
        gossip: the training.
        nodes: how many there are to be at the start.
        write: gets the reports on how it goes.
    """

    def __init__(self, proxy: Proxy, gossip: Gossip, nodes: int, write: Write) -> None:
        self.proxy = proxy
        self.gossip = gossip
        self.nodes = nodes
        self.failure: str | None = None
        self.rounds_by_peer: Counter[str] = Counter()
        """How often the weights of each went into an average."""
        self.newest: dict[str, Message] = {}
        """By peer, the message of its furthest round."""
        self.counted: dict[str, Message] = {}
        """By peer, the message that counts in this round."""
        self.table = RegisterTable(proxy.peers_name)
        self.table.register_event_handler(EVERYBODY, lambda messages: self.end_round())
        self.round_is_over = False
        self.report = Reporter(write, self.figures)

    @property
    def peers(self) -> list[str]:
        """The other nodes that are in the group now."""
        return self.proxy.peers_name["node"]

    def run(self) -> None:
        """Train, to the end."""
        self.meet()
        while not (self.failure or self.gossip.verified):
            self.play_round()
            if self.gossip.failed:
                self.failure = self.gossip.failure()
        if self.failure:
            self.report("failed", reason=self.failure)
        else:
            self.report("finished")

    def meet(self) -> None:
        """Wait until all nodes are there, or one is found that has begun: then this one comes late, or comes back."""
        deadline = time.monotonic() + MEET_WITHIN_S

        def can_begin() -> bool:
            if len(self.peers) >= self.nodes - 1 or any(message.payload.round for message in self.newest.values()):
                return True
            if time.monotonic() >= deadline:
                self.failure = f"only {len(self.peers) + 1} of {self.nodes} nodes came within {MEET_WITHIN_S:g} s"
            return self.failure is not None

        if not can_begin():
            self.send(asks=True)
            self.listen(can_begin)

    def play_round(self) -> None:
        """Send the weights, compute the gradient while those of the peers come in, and wait for the last of them."""
        self.round_is_over = False
        self.table.clear()
        self.counted.clear()
        self.send(asks=not self.rounds_by_peer)  # who has just come asks where the others are
        self.gradient = self.gossip.gradient(self.peers)
        for message in self.newest.values():
            self.count(message)
        self.listen(self.settle)
        self.report("progress")

    def send(self, asks: bool = False) -> None:
        """Send everybody the node's weights; whoever is asked answers with its own."""
        self.proxy.ibroadcast("node", "weights", SessionType.NOTIFICATION, self.gossip.state(asks))

    def listen(self, is_over: Callable[[], bool]) -> None:
        """Take in messages, and the coming and going of peers, until something is over; ask when that takes long."""
        patient_until = time.monotonic() + PATIENCE_S
        while not is_over():
            left_s = patient_until - time.monotonic()
            if left_s <= 0:
                self.send(asks=True)
                patient_until = time.monotonic() + PATIENCE_S
                continue
            timeout = math.ceil(left_s * 1000)
            for message in self.proxy.receive(is_continuous=False, timeout=timeout, wake_on_peer_change=True):
                if message is not None:
                    self.take(message)

    def take(self, message: Message) -> None:
        """A peer has sent its weights."""
        source, state = message.source, message.payload
        if state.asks:
            self.report("ready", source)
            self.proxy.reply(message, payload=self.gossip.state())
        # One that was started again begins at round 0, until it has heard of the others.
        if source not in self.newest or state.round > self.newest[source].payload.round:
            self.newest[source] = message
        self.count(message)

    def count(self, message: Message) -> None:
        """Let the event see the first message of each peer that is not too old; it counts messages, not peers."""
        if message.payload.round >= self.gossip.round and message.source not in self.counted:
            self.counted[message.source] = message
            self.table.push(message, auto_trigger=False)

    def settle(self) -> bool:
        """End the round if all who are there have sent their weights; whether it is over."""
        for handler, messages in self.table.get():
            handler(messages)
        if not self.peers:  # of nobody, the event never has all
            self.end_round()
        return self.round_is_over

    def end_round(self) -> None:
        """Average with what has come; besides what the event asked for, that may be the last word of one that left."""
        if self.round_is_over:
            return
        self.round_is_over = True
        self.rounds_by_peer.update(self.counted.keys())
        self.gossip.average({name: message.payload for name, message in self.counted.items()}, self.gradient)

    def figures(self) -> Report:
        """How far the training has come."""
        gossip = self.gossip
        return {
            "node": gossip.name,
            "round": gossip.round,
            "loss": round(gossip.ratio * gossip.optimum, 3),
            "optimum": round(gossip.optimum, 3),
            "ratio": round(gossip.ratio, 5),
            "distance": round(gossip.distance, 5) if math.isfinite(gossip.distance) else None,
            "result_ratio": None if gossip.result_ratio is None else round(gossip.result_ratio, 5),
            "peers": self.peers,
            "rounds_by_peer": dict(self.rounds_by_peer),
        }


def describe(report: Report) -> str:
    """The figures as text."""
    distance = "" if report["distance"] is None else f"  distance {report['distance']:.4f}"
    result = "" if report["result_ratio"] is None else f"  result's ratio {report['result_ratio']:.4f}"
    return (
        f"round {report['round']:6d}  loss {report['loss']:8.1f}  optimum {report['optimum']:.1f}  "
        f"ratio {report['ratio']:.4f}{distance}  peers {len(report['peers'])}{result}"
    )


def main() -> None:
    """Join the group that the environment names, and train."""
    defaults = MeshSettings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--nodes",
        type=int,
        default=os.environ.get("MARO_NODES", "4"),
        help="how many there are, this one included; default MARO_NODES in the environment, or 4",
    )
    parser.add_argument("--seed", type=int, default=0, help="of shards and minibatches, the same for all; default 0")
    parser.add_argument("--json", action="store_true", help="report as lines of JSON")
    parser.add_argument(
        "--max-rounds", type=int, default=defaults.max_rounds, help="before it counts as failed; default %(default)s"
    )
    arguments = parser.parse_args()
    settings = MeshSettings(seed=arguments.seed, max_rounds=arguments.max_rounds).validate()
    regression = regression_or_exit()
    # A node that was killed must come back although another one was removed: the Proxy waits for one peer only, and
    # `Node.meet` for the others, knowing when it need not. With no least number of peers, who is left alone goes on.
    group = {**group_from_environment(), "expected_peers": {"node": min(1, arguments.nodes - 1)}}
    with Proxy(**group, **rejoin_from_environment(), minimal_peers=0) as proxy:
        write = print_json if arguments.json else text_printer(describe)
        node = Node(proxy, Gossip(regression, proxy.name, settings), arguments.nodes, write)
        node.run()
    if node.failure:
        sys.exit(node.failure)


if __name__ == "__main__":
    main()
