"""`python -m maro.testbed.history FOLDER`: the verdict on the journals of a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from maro.testbed.history import JournalError, check, journals_in, read_injected

EXIT_FAILED = 1


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--faults",
    "faults_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The faults that were injected, as JSON lines with `kind`, `component`, `at_ns` and `healed_ns`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def main(folder: Path, faults_file: Path | None, as_json: bool) -> None:
    """Judge the journals in FOLDER, which the components of a run found as MARO_JOURNAL.

    \b
    The exit code is 0 if every promise was kept, 1 if one was broken, and 2
    if there is nothing to judge, or something that is no journal.
    """
    try:
        verdict = check(journals_in(folder), read_injected(faults_file) if faults_file else ())
    except JournalError as error:
        raise click.UsageError(f"{error}.") from error
    if not verdict.counts["journals"]:
        raise click.UsageError(f"There is no journal in {folder}: were the components started with MARO_JOURNAL?")
    click.echo(json.dumps(verdict.as_json(), indent=1) if as_json else verdict.report())
    sys.exit(0 if verdict.has_passed else EXIT_FAILED)


if __name__ == "__main__":
    main()
