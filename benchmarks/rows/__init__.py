"""The rows of the table: who takes part in each, and how one value is measured."""

from benchmarks.row import Row
from benchmarks.rows.alone import DISPATCH, IMPORT, MEMORY
from benchmarks.rows.groups import BROADCAST, COLLECTING, JOINING, SCATTER
from benchmarks.rows.pairs import ARRAYS, ONE_WAY, ONE_WAY_KEPT, ROUND_TRIP, ROUND_TRIP_KEPT

ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        ROUND_TRIP,
        ONE_WAY,
        ROUND_TRIP_KEPT,
        ONE_WAY_KEPT,
        ARRAYS,
        JOINING,
        DISPATCH,
        IMPORT,
        MEMORY,
        BROADCAST,
        SCATTER,
        COLLECTING,
    )
}
"""In the order of the table, by name."""
