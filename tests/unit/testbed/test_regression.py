"""The task that the workloads `parameter_server` and `mesh` share: data set, least squares, shards."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

np = pytest.importorskip("numpy", reason="the workloads need the extra `examples`: pip install 'maro[examples]'")

from maro.testbed.workloads import diabetes  # noqa: E402 - only where NumPy is there
from maro.testbed.workloads.diabetes import DataMissingError, folder, load  # noqa: E402 - as above
from maro.testbed.workloads.regression import (  # noqa: E402 - as above
    Regression,
    random_stream,
    shard,
    standardise,
    with_products,
)


@pytest.fixture
def installed() -> None:
    """The data set of an installed scikit-learn."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install '.[datasets]'")


def made_up(seed: int, rows: int = 40, columns: int = 4, noise: float = 1.0) -> Regression:
    """A regression whose targets follow the features, but for some noise."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((rows, columns))
    return Regression(features, features @ rng.standard_normal(columns) + noise * rng.standard_normal(rows))


def write_data(place: Path, rows: int = diabetes.PATIENTS) -> None:
    """Files like those of the data set, with made-up numbers in them."""
    rng = np.random.default_rng(rows)
    np.savetxt(place / diabetes.MEASUREMENTS_FILE, rng.standard_normal((rows, diabetes.MEASUREMENTS)))
    np.savetxt(place / diabetes.TARGET_FILE, rng.standard_normal(rows))


class TestDataSet:
    def test_it_is_read_from_where_scikit_learn_keeps_it(self, installed: None) -> None:
        """Given scikit-learn, then the data are there, in the units in which they were taken."""
        measurements, targets = load(folder())
        assert measurements.shape == (442, 10) and targets.shape == (442,)
        assert measurements[0].tolist() == [59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87]
        assert (targets.min(), targets.max()) == (25, 346)

    def test_scikit_learn_is_not_imported(self, installed: None) -> None:
        """Given a new interpreter, when it reads the data, then it has imported neither scikit-learn nor SciPy."""
        program = (
            "import sys; from maro.testbed.workloads.diabetes import regression; regression();"
            "assert not {'sklearn', 'scipy'} & set(sys.modules), sorted(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3], check=True, timeout=60)

    def test_the_folder_that_the_environment_names_goes_first(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Given a folder with the two files, when MARO_DATA names it, then they are read from there."""
        write_data(tmp_path)
        monkeypatch.setenv("MARO_DATA", str(tmp_path))
        assert folder() == tmp_path
        assert load(folder())[1].shape == (442,)

    @pytest.mark.parametrize("named", [True, False])
    def test_what_is_missing_is_named_with_both_ways_to_get_it(
        self, named: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Given no data, then the error names the package and the variable."""
        monkeypatch.setattr(diabetes.importlib.util, "find_spec", lambda name: None)
        if named:
            monkeypatch.setenv("MARO_DATA", str(tmp_path))
        with pytest.raises(DataMissingError, match=r"pip install scikit-learn, or put .* in MARO_DATA") as caught:
            folder()
        assert (str(tmp_path) in str(caught.value)) is named

    def test_files_that_hold_something_else_are_refused(self, tmp_path: Path) -> None:
        """Given files with other numbers of rows, or no numbers, then the error says so."""
        write_data(tmp_path, rows=10)
        with pytest.raises(DataMissingError, match="not the diabetes data set's"):
            load(tmp_path)
        (tmp_path / diabetes.TARGET_FILE).write_bytes(gzip.compress(b"one two three"))
        with pytest.raises(DataMissingError, match="can't be read"):
            load(tmp_path)

    def test_the_quadratic_model_has_the_predictors_of_the_paper(self, installed: None) -> None:
        """Given ten measurements, one of them with two values, then there are 10 + 45 products + 9 squares."""
        task = diabetes.regression()
        assert (task.rows, task.size) == (442, 64)
        assert task.optimum == pytest.approx(2416.78, abs=0.01)

    def test_an_entry_point_ends_where_the_data_are_missing(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Given no data, then the process ends with the code that means: do not restart."""
        monkeypatch.setenv("MARO_DATA", str(tmp_path))
        with pytest.raises(SystemExit) as caught:
            diabetes.regression_or_exit()
        assert caught.value.code == 64
        assert "MARO_DATA" in capsys.readouterr().err


class TestRegression:
    @given(st.integers(0, 2**32 - 1))
    def test_no_weights_are_better_than_the_optimum(self, seed: int) -> None:
        """Given any task, then any weights have a ratio of at least 1, and the solution of the closed form has 1."""
        task = made_up(seed)
        best, *_ = np.linalg.lstsq(task.features, task.targets, rcond=None)
        assert task.ratio(best) == pytest.approx(1.0)
        shift = np.random.default_rng(seed).standard_normal(task.size)
        assert task.ratio(best + shift) > 1.0

    @given(st.integers(0, 2**32 - 1))
    def test_the_gradient_is_that_of_half_the_loss(self, seed: int) -> None:
        """Given any weights, then a small step along each axis changes half the loss as the gradient says."""
        task = made_up(seed)
        weights = np.random.default_rng(seed).standard_normal(task.size)
        gradient = task.gradient(weights, np.arange(task.rows))
        for axis, slope in zip(np.eye(task.size) * 1e-4, gradient, strict=True):
            numeric = (task.loss(weights + axis) - task.loss(weights - axis)) / 4e-4
            assert numeric == pytest.approx(slope, abs=1e-6)

    def test_the_mean_of_the_gradients_of_equal_parts_is_the_whole_gradient(self) -> None:
        """Given rows cut into equal parts, then their gradients average to that of all rows."""
        task = made_up(3)
        weights = np.ones(task.size)
        parts = [task.gradient(weights, rows) for rows in np.array_split(np.arange(task.rows), 4)]
        assert np.mean(parts, axis=0) == pytest.approx(task.gradient(weights, np.arange(task.rows)))

    def test_weights_that_blew_up_have_no_ratio(self) -> None:
        """Given weights that are not finite, then the ratio is infinity, which no tolerance lets pass."""
        assert made_up(1).ratio(np.full(4, np.nan)) == float("inf")

    @pytest.mark.parametrize(
        ("features", "targets"),
        [
            (np.ones((5, 2)), np.arange(5.0)),
            (np.eye(5), np.arange(4.0)),
            (np.eye(5), np.array([1.0, np.nan, 1.0, 1.0, 1.0])),
            (np.full((5, 1), np.inf), np.arange(5.0)),
            (np.arange(5.0), np.arange(5.0)),
        ],
        ids=["constant", "lengths", "target", "feature", "one axis"],
    )
    def test_data_that_do_not_make_a_task_are_refused(self, features: Any, targets: Any) -> None:
        """Given constant columns, lengths that do not fit or numbers that are not finite, then it says so."""
        with pytest.raises(ValueError, match="need"):
            Regression(features, targets)

    def test_columns_are_standardised(self) -> None:
        """Given columns on any scale, then each has mean 0 and deviation 1, products included."""
        rng = np.random.default_rng(1)
        columns = rng.standard_normal((30, 3)) * [1, 100, 0.01] + [5, 0, -3]
        columns[:, 2] = rng.integers(2, size=30)
        wide = standardise(with_products(columns))
        assert wide.shape == (30, 3 + 3 + 2)
        assert wide.mean(axis=0) == pytest.approx(0, abs=1e-12)
        assert wide.std(axis=0) == pytest.approx(1)


class TestShards:
    @given(st.integers(0, 500), st.sets(st.text(min_size=1, max_size=5), min_size=1, max_size=9), st.integers(0, 99))
    def test_they_are_disjoint_even_and_cover_everything(self, rows: int, names: set[str], seed: int) -> None:
        """Given any names, when each takes its shard, then every row has one owner, and all have about as many."""
        parts = [shard(rows, sorted(names - {own}), own, seed) for own in names]
        assert sorted(np.concatenate(parts).tolist()) == list(range(rows))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1

    def test_the_order_of_the_names_does_not_matter(self) -> None:
        """Given the same names in another order, one's own among them or not, then the shard is the same."""
        assert shard(50, ["a", "c"], "b", 1).tolist() == shard(50, ["c", "b", "a"], "b", 1).tolist()

    def test_random_streams_depend_on_every_part_of_the_key(self) -> None:
        """Given keys that differ in one part, then other numbers come; given the same key, the same ones."""
        keys: list[tuple[Any, ...]] = [(1, "a", 1), (2, "a", 1), (1, "b", 1), (1, "a", 2)]
        drawn = [random_stream(*key).integers(2**60) for key in keys]
        assert len(set(drawn)) == len(keys)
        assert random_stream(*keys[0]).integers(2**60) == drawn[0]
