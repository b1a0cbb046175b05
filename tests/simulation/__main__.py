"""Run seeds, and say what they found: `python -m tests.simulation --help`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.simulation.applications import APPLICATIONS
from tests.simulation.plan import make_plan
from tests.simulation.running import Summary, run_many
from tests.simulation.world import simulate

_SHOWN = 5
"""Failing runs that are printed whole; of more the seeds."""


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(arguments)
    cache = {"on": True, "off": False, None: None}[options.cache]
    if options.seed is not None:
        return _run_one(options.seed, cache, options.application, options.trace)
    return _run_all(options, cache)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description="Runs whole groups of Proxies in simulated time, through faults that a seed draws, and judges what "
        "their applications saw. A seed that fails is printed with its schedule; it fails again in the same way.",
    )
    parser.add_argument("--seeds", type=int, default=2000, metavar="N", help="how many to run (default: %(default)s)")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="the first one (default: %(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: one for each core)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="run this one alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: print everything that happens")
    parser.add_argument("--cache", choices=("on", "off"), help="the message cache, rather than as the seed says")
    parser.add_argument("--application", choices=sorted(APPLICATIONS), help="this one, rather than as the seed says")
    return parser


def _run_one(seed: int, cache: bool | None, application: str | None, trace: bool) -> int:
    outcome = simulate(make_plan(seed, cache=cache, application=application), trace=trace)
    with contextlib.suppress(BrokenPipeError):
        for line in outcome.trace:
            print(line)
        print(outcome)
        print("kept" if not outcome.violations else "violated", outcome.trace_hash[:16])
        sys.stdout.flush()
    return 1 if outcome.violations else 0


def _run_all(options: argparse.Namespace, cache: bool | None) -> int:
    console = Console()
    summary = Summary()
    seeds = range(options.start, options.start + options.seeds)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]} failed"))
    interrupted = False
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("seeds", total=len(seeds), failed=0)
        chunks = run_many(seeds, max(1, options.jobs), cache=cache, application=options.application)
        try:
            for briefs in chunks:
                for brief in briefs:
                    summary.add(brief)
                    if brief.failures and len(summary.failed) <= _SHOWN:
                        progress.console.print(brief.text, markup=False, highlight=False, soft_wrap=True)
                progress.update(task, advance=len(briefs), failed=len(summary.failed))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            chunks.close()
    _report(console, summary)
    if interrupted:
        console.print(f"interrupted after {summary.runs} of {len(seeds)} seeds")
        return 130
    return 1 if summary.failed else 0


def _report(console: Console, summary: Summary) -> None:
    if not summary.runs:
        return
    failures = summary.failures_by_application()
    table = Table("application", "runs", "failed", "messages", title="By application")
    for name, count in sorted(summary.by_application.items()):
        table.add_row(name, f"{count:,}", f"{failures[name]:,}", f"{summary.messages[name]:,}")
    console.print(table)
    failures = summary.failures_by_fault()
    table = Table("fault", "runs with it", "of which failed", title="By fault")
    for name, count in sorted(summary.by_fault.items()):
        table.add_row(name, f"{count:,}", f"{failures[name]:,}")
    console.print(table)
    console.print(", ".join(f"{count:,} {name}" for name, count in sorted(summary.facts.items())), highlight=False)
    console.print(
        f"{summary.runs:,} seeds, {1000 * summary.cpu_s / summary.runs:.1f} ms of processor time each, "
        f"{len(summary.failed):,} failed",
        highlight=False,
    )
    for brief in sorted(summary.failed, key=lambda each: each.seed):
        print(f"failed: --seed {brief.seed}  ({brief.application}: {', '.join(brief.failures)})")


if __name__ == "__main__":
    raise SystemExit(main())
