"""The demo: a learner trains on four actors; one is killed half way, comes back under its name, and training goes on.

`python -m maro.testbed.demo`, or `scripts/demo`, which sets up what it needs.
"""

from __future__ import annotations

import json
import queue
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from maro.testbed.launcher import LocalComponent, LocalGroup
from maro.testbed.redis_server import RedisServer

_WORKLOAD = "maro.testbed.workloads.rollout"
_FULL_RETURN = 500.0
_HALF_WAY = 250.0
_SILENCE_S = 90.0
"""A learner that reports nothing for so long is taken for stuck."""
_PLAIN_LINE_EVERY_S = 5.0


class DemoError(Exception):
    """The demo did not show what it is to show; the text says what is missing."""


@dataclass
class Story:
    """What happened, as far as it is told."""

    started: float = field(default_factory=time.time)
    latest: dict[str, Any] = field(default_factory=dict)
    victim: str = ""
    killed_at: float | None = None
    restarted_at: float | None = None
    ready_at: float | None = None
    episodes_when_killed: int = 0

    def take(self, report: dict[str, Any]) -> None:
        """Take in a report of the learner."""
        self.latest = report
        if (
            report["event"] == "ready"
            and report["who"] == self.victim
            and self.restarted_at is not None
            and self.ready_at is None
        ):
            self.ready_at = report["at"]

    @property
    def mean_return(self) -> float:
        """Of the latest training episodes."""
        return float(self.latest.get("mean_return", 0.0))

    def episodes(self, actor: str) -> int:
        """How many episodes of the actor the learner has got."""
        return int(self.latest.get("episodes_by_actor", {}).get(actor, 0))

    @property
    def rejoin_s(self) -> float | None:
        """From the kill until the learner heard of the new process."""
        if self.ready_at is None or self.killed_at is None:
            return None
        return self.ready_at - self.killed_at


@click.command()
@click.option("--actors", type=click.IntRange(1), default=4, show_default=True, help="How many actors play.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything random.")
@click.option("--kill/--no-kill", default=True, show_default=True, help="Kill an actor half way.")
@click.option(
    "--redis",
    type=click.Choice(["embedded", "server", "any"]),
    default="embedded",
    show_default=True,
    help="Which Redis to start: the embedded one, a redis-server from PATH, or whichever there is.",
)
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Folder for the components' logs; by default a temporary one, kept where something fails.",
)
def main(actors: int, seed: int, kill: bool, redis: str, logs: Path | None) -> None:
    """Train a CartPole policy with a learner and its actors as local processes, and kill one of them half way."""
    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
    with _LogFolder(logs) as folder:
        try:
            embedded = {"embedded": True, "server": False, "any": None}[redis]
            story = _run(console, actors, seed, kill, embedded, folder.path)
        except DemoError as error:
            folder.keep = True
            console.print(f"[bold red]The demo failed:[/] {error}\nThe logs are in {folder.path}")
            sys.exit(1)
        except KeyboardInterrupt:
            console.print("Interrupted; all processes are stopped.")
            sys.exit(130)
        console.print(_summary(story, kill))


class _LogFolder:
    """Where logs go: a given folder, or a temporary one that goes away unless it is to be kept."""

    def __init__(self, given: Path | None) -> None:
        self.keep = given is not None
        self.path = given or Path(tempfile.mkdtemp(prefix="maro-demo-"))

    def __enter__(self) -> _LogFolder:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.keep:
            for file in self.path.iterdir():
                file.unlink()
            self.path.rmdir()


def _run(console: Console, actors: int, seed: int, kill: bool, embedded: bool | None, logs: Path) -> Story:
    with RedisServer(embedded) as redis, LocalGroup(f"demo-{redis.port}", redis.url, logs) as group:
        console.print(f"{redis.kind} Redis on port {redis.port}; one learner, {actors} actors, seed {seed}")
        seeds = ["--seed", str(seed)]
        learner = group.add("learner", 0, f"{_WORKLOAD}.learner", [*seeds, "--json"], {"actor": actors}, piped=True)
        players = [group.add("actor", number, f"{_WORKLOAD}.actor", seeds, {"learner": 1}) for number in range(actors)]
        story = Story(victim=players[-1].name if kill else "")
        _watch(console, story, group, learner, players)
        _check(story, learner, kill)
        return story


def _watch(
    console: Console, story: Story, group: LocalGroup, learner: LocalComponent, players: list[LocalComponent]
) -> None:
    """Follow the learner's reports to its end; kill and restart the victim on the way."""
    reports = _reports(learner)
    live = Live(console=console, refresh_per_second=8, transient=True, get_renderable=lambda: _picture(story, players))
    next_line = 0.0
    with live:
        while True:
            try:
                report = reports.get(timeout=_SILENCE_S)
            except queue.Empty:
                raise DemoError(
                    f"the learner has said nothing for {_SILENCE_S:.0f} s:\n{learner.last_lines()}"
                ) from None
            if report is None:
                return
            story.take(report)
            if story.victim and story.killed_at is None and story.mean_return >= _HALF_WAY:
                _kill_and_restart(story, group.components[story.victim])
            if not console.is_terminal and time.monotonic() >= next_line:
                next_line = time.monotonic() + _PLAIN_LINE_EVERY_S
                console.print(_line(story), soft_wrap=True)
            for player in players:
                if player.process.poll() is not None:
                    raise DemoError(
                        f"{player.name} ended with code {player.process.returncode}:\n{player.last_lines()}"
                    )


def _kill_and_restart(story: Story, victim: LocalComponent) -> None:
    story.episodes_when_killed = story.episodes(victim.name)
    story.killed_at = time.time()
    victim.kill()
    victim.start()
    story.restarted_at = time.time()


def _check(story: Story, learner: LocalComponent, kill: bool) -> None:
    code = learner.wait()
    if code != 0:
        raise DemoError(f"the learner ended with code {code}:\n{learner.last_lines()}")
    if not kill:
        return
    if story.killed_at is None:
        raise DemoError("training was over before anybody was killed; try another --seed")
    if story.rejoin_s is None or story.episodes(story.victim) <= story.episodes_when_killed:
        raise DemoError(f"{story.victim} was killed and started again, but the learner got no more episodes of it")


def _reports(learner: LocalComponent) -> queue.Queue[dict[str, Any] | None]:
    """The learner's reports as they come, then None."""
    reports: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def read() -> None:
        for line in learner.process.stdout or ():
            reports.put(json.loads(line))
        reports.put(None)

    threading.Thread(target=read, daemon=True).start()
    return reports


def _line(story: Story) -> str:
    latest = story.latest
    return (
        f"{time.time() - story.started:5.1f} s  update {latest['version']:4d}  episodes {latest['episodes']:5d}  "
        f"mean return {story.mean_return:6.1f}  {_news(story)}"
    ).rstrip()


def _news(story: Story) -> str:
    if story.killed_at is None:
        return ""
    if story.rejoin_s is None:
        return f"{story.victim} was killed"
    return f"{story.victim} was killed, and was back after {story.rejoin_s:.2f} s"


def _picture(story: Story, players: list[LocalComponent]) -> Group:
    table = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=_FULL_RETURN, completed=min(story.mean_return, _FULL_RETURN), width=40)
    table.add_row("mean return", bar, f"{story.mean_return:.1f} of {_FULL_RETURN:.0f}")
    table.add_row("learner", _line(story) if story.latest else "waiting for its actors", "")
    most = max([story.episodes(player.name) for player in players] + [1])
    for player in players:
        count = story.episodes(player.name)
        state = Text("playing", "green") if player.name in story.latest.get("actors", ()) else Text("absent", "red")
        if player.starts > 1:
            state.append(f", started {player.starts} times")
        table.add_row(
            player.name, ProgressBar(total=most, completed=count, width=40), Text(f"{count} episodes  ") + state
        )
    return Group(table)


def _summary(story: Story, kill: bool) -> Table:
    latest = story.latest
    table = Table(title="What happened", show_header=False)
    table.add_row("evaluation", f"mean return {latest['evaluation']:.1f} over 100 episodes (goal 475)")
    table.add_row("training", f"{latest['version']} updates, {latest['episodes']} episodes, {latest['steps']} steps")
    by_actor = ", ".join(f"{name} {count}" for name, count in sorted(latest["episodes_by_actor"].items()))
    table.add_row("episodes by actor", by_actor)
    if kill and story.killed_at is not None and story.rejoin_s is not None:
        at_s = story.killed_at - story.started
        table.add_row("killed", f"{story.victim} with SIGKILL after {at_s:.1f} s, and started again at once")
        more = story.episodes(story.victim) - story.episodes_when_killed
        table.add_row("rejoined", f"under its name {story.rejoin_s:.2f} s after the kill; {more} more episodes since")
    table.add_row("time", f"{time.time() - story.started:.1f} s")
    return table


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
