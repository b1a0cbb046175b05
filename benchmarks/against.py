"""What a change costs: another revision and this working tree, in turns: `python -m benchmarks.against REVISION`.

Each repetition runs both, in one order and then in the other, each with its own code, from a checkout of its own; what
counts is the ratio of the two in the same repetition.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import click

from benchmarks.__main__ import ROW_NAMES
from benchmarks.figures import Spread

ROOT = Path(__file__).parents[1]
ROWS = ("round-trip", "one-way", "round-trip-kept", "one-way-kept")
Values = dict[tuple[str, str], float]
"""By row and contender."""


@click.command()
@click.argument("revision")
@click.option("--repeat", type=click.IntRange(1, 1000), default=9, show_default=True, metavar="N")
@click.option("--only", type=click.Choice(ROW_NAMES), multiple=True, default=ROWS, show_default=True, metavar="NAME")
def main(revision: str, repeat: int, only: tuple[str, ...]) -> None:
    """Measure the Proxy of REVISION, as git names it, and of this working tree; print the ratios, this to that."""
    ratios: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        _git("worktree", "add", "--quiet", "--detach", str(other), revision)
        try:
            for number in range(repeat):
                trees = (other, ROOT) if number % 2 == 0 else (ROOT, other)
                measured = {tree: measure(tree, only, Path(folder) / "values.json") for tree in trees}
                for key, value in measured[ROOT].items():
                    if key in measured[other]:
                        ratios[key].append(value / measured[other][key])
                click.echo(f"{number + 1} of {repeat} repetitions", err=True)
        finally:
            _git("worktree", "remove", "--force", str(other))
    for (row, contender), values in ratios.items():
        spread = Spread.of(values)
        click.echo(f"{row:<16} {contender:<28} {spread.median:.3f}x ({spread.least:.3f} .. {spread.most:.3f})")


def measure(tree: Path, rows: tuple[str, ...], report: Path) -> Values:
    """The values of what a tree's benchmarks measure with a Proxy; what is raw does not differ.

    Raises:
        click.ClickException: they did not end well.
    """
    names = [word for row in rows for word in ("--only", row)]
    command = [sys.executable, "-m", "benchmarks", *names, "--repeat", "1", "--json", str(report)]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{tree} could not be measured:\n{done.stdout}{done.stderr}")
    return {
        (row["name"], line["contender"]): line["value"]["median"]
        for row in json.loads(report.read_text())["rows"]
        for line in row["lines"]
        if not line["contender"].startswith("raw")
    }


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"git {' '.join(arguments)}: {done.stderr.strip()}")


if __name__ == "__main__":
    main()
