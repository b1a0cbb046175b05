"""The diabetes data set: 442 patients, ten measurements of each, and how far the disease had gone a year later.

It is the data of Efron, Hastie, Johnstone and Tibshirani (2004), "Least angle regression", Annals of Statistics 32(2),
in the two files that scikit-learn ships. They are read with NumPy alone: scikit-learn is looked for, never imported.
Where it is not installed, as in a small container image, the two files in a folder are enough.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np

from maro.testbed.workloads.regression import FloatArray, Regression, with_products
from maro.utils.exit_code import NON_RESTART_EXIT_CODE

DATA_VARIABLE = "MARO_DATA"
"""Names the folder that has the files, where scikit-learn is not installed; it goes first where both are there."""
MEASUREMENTS_FILE = "diabetes_data_raw.csv.gz"
TARGET_FILE = "diabetes_target.csv.gz"

PATIENTS = 442
MEASUREMENTS = 10


class DataMissingError(RuntimeError):
    """The data set is not on this machine; the text says how to get it."""


def folder() -> Path:
    """Where the two files are.

    Raises:
        DataMissingError: neither in the folder that the environment names nor in an installed scikit-learn.
    """
    named = os.environ.get(DATA_VARIABLE)
    if named:
        places = [Path(named)]
    else:
        spec = importlib.util.find_spec("sklearn")
        parts = spec.submodule_search_locations if spec is not None else None
        places = [Path(part) / "datasets" / "data" for part in parts or ()]
    for place in places:
        if (place / MEASUREMENTS_FILE).is_file() and (place / TARGET_FILE).is_file():
            return place
    looked = f"{DATA_VARIABLE} names {named!r}, which does not hold both" if named else f"{DATA_VARIABLE} is not set"
    raise DataMissingError(
        f"the diabetes data set is missing ({looked}): pip install scikit-learn, or put {MEASUREMENTS_FILE} and "
        f"{TARGET_FILE} in a folder and name it in {DATA_VARIABLE}"
    )


def load(place: Path) -> tuple[FloatArray, FloatArray]:
    """Read the measurements (442, 10) and the targets (442,), as they were taken, from a folder.

    Raises:
        DataMissingError: the files hold something else.
    """
    try:
        measurements, targets = (np.loadtxt(place / name) for name in (MEASUREMENTS_FILE, TARGET_FILE))
    except (OSError, ValueError, EOFError) as error:
        raise DataMissingError(f"the diabetes data set in {place} can't be read: {error}; install it anew") from error
    if measurements.shape != (PATIENTS, MEASUREMENTS) or targets.shape != (PATIENTS,):
        raise DataMissingError(
            f"the files in {place} hold arrays {measurements.shape} and {targets.shape}, not the diabetes data set's "
            f"{(PATIENTS, MEASUREMENTS)} and {(PATIENTS,)}; install it anew"
        )
    return measurements, targets


def regression() -> Regression:
    """The quadratic model of the paper: 64 predictors, which are the measurements, their products, and their squares.

    Raises:
        DataMissingError: see `folder` and `load`.
    """
    measurements, targets = load(folder())
    return Regression(with_products(measurements), targets)


def regression_or_exit() -> Regression:
    """As `regression`, for an entry point: without the data the process ends, and a restart would not help."""
    try:
        return regression()
    except DataMissingError as error:
        print(error, file=sys.stderr)
        sys.exit(NON_RESTART_EXIT_CODE)
