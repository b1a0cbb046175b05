"""Copies the topologies and image files that come with the package to `~/.maro`, as a whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maro.utils.exception.cli_exception import DeploymentError
from maro.utils.home import maro_home

TREES = ("docker", "compose")
"""The folders that are deployed, where the package has them."""

_VERSION_FILE = "version.json"
_STAGE = ".deploying"
_IGNORED = ("__pycache__", "*.pyc")


class Deployment:
    """The way from a folder that holds the packaged trees to a folder that gets copies of them.

    Args:
        source: holds the trees of `TREES`, or some of them.
        target: gets them, beside a file that says which version they are; nothing else in it is touched.
        version: the version of the package.
    """

    def __init__(self, source: Path, target: Path, version: str) -> None:
        self._source = source
        self._target = target
        self._version = version

    @classmethod
    def here(cls) -> Deployment:
        """From this installation to the home folder of this user.

        Raises:
            DeploymentError: the installation lacks the trees, or there is no home folder.
        """
        from maro import __version__

        try:
            return cls(packaged_files(Path(__file__).resolve().parents[1]), maro_home(), __version__)
        except FileNotFoundError as error:
            raise DeploymentError(f"Can't deploy: {error}.") from error

    def __repr__(self) -> str:
        return f"Deployment({str(self._source)!r} -> {str(self._target)!r}, {self._version})"

    def is_needed(self) -> bool:
        """Whether the target lacks a tree or a file, or has those of another version.

        Changes that the user made to the deployed files are the user's affair and do not count.

        Raises:
            DeploymentError: the files that would be deployed can't be read.
        """
        try:
            record = self._record()
        except OSError as error:
            raise DeploymentError(f"Can't read the files to deploy in {self._source}: {error}.") from error
        try:
            if json.loads((self._target / _VERSION_FILE).read_text(encoding="utf-8")) != record:
                return True
        except (OSError, ValueError):
            return True
        return not all((self._target / file).is_file() for file in self._files())

    def run(self) -> list[Path]:
        """Deploy, whether it is needed or not, and say where the trees now are.

        Raises:
            DeploymentError: it did not work; the target holds what it held before.
        """
        try:
            self._target.mkdir(parents=True, exist_ok=True)
            with _only_one(self._target / f"{_STAGE}.lock"):
                return self._replace()
        except OSError as error:
            raise DeploymentError(
                f"Can't deploy to {self._target}: {error}. What was deployed before is unchanged; check that the "
                "folder can be written to and has room, then deploy again."
            ) from error

    def _replace(self) -> list[Path]:
        """Copy everything to a folder beside its destination, then swap by renaming."""
        stage = self._target / _STAGE
        _clear(stage, self._target)  # left by a process that was killed; the lock says that it is gone
        new, old = stage / "new", stage / "old"
        try:
            old.mkdir(parents=True)
            new.mkdir()
            names = [name for name in TREES if (self._source / name).is_dir()]
            for name in names:
                _copy_tree(self._source / name, new / name)
            (new / _VERSION_FILE).write_text(json.dumps(self._record()) + "\n", encoding="utf-8")
            # The version file comes last: as long as it is the old one, the deployment counts as not done.
            _swap([*names, _VERSION_FILE], new, self._target, old)
        finally:
            _clear(stage, self._target)
        return [self._target / name for name in names]

    def _record(self) -> dict[str, str]:
        """What the version file says: the version, and a digest, which tells apart two states of one checkout."""
        digest = hashlib.sha256()
        for file in self._files():
            content = (self._source / file).read_bytes()
            digest.update(f"{file.as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
        return {"version": self._version, "sha256": digest.hexdigest()}

    def _files(self) -> list[Path]:
        """The files of all trees, relative to the source."""
        found = (path for name in TREES for path in (self._source / name).rglob("*"))
        files = (path.relative_to(self._source) for path in found if path.is_file())
        return sorted(
            file
            for file in files
            if not any(part.match(pattern) for part in map(Path, file.parts) for pattern in _IGNORED)
        )


def packaged_files(package: Path) -> Path:
    """The folder that holds the trees to deploy, given the folder of the package.

    An installed package has them inside; a checkout beside it. Beside an installed package lie other packages, one of
    which may be called `docker`: only a folder with a `pyproject.toml` is taken for a checkout.

    Raises:
        FileNotFoundError: there are none.
    """
    packaged, checkout = package / "_packaged", package.parent
    if packaged.is_dir():
        return packaged
    if (checkout / "pyproject.toml").is_file() and any((checkout / name).is_dir() for name in TREES):
        return checkout
    raise FileNotFoundError(f"this installation has no {packaged}; install the package again")


def _copy_tree(source: Path, destination: Path) -> None:
    shutil.copytree(source, destination, ignore=shutil.ignore_patterns(*_IGNORED))
    # A read-only installation must not make a copy that the next deployment can't replace.
    for path in (destination, *destination.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def _swap(names: list[str], new: Path, target: Path, old: Path) -> None:
    """Move `target/name` to `old` and `new/name` to `target`, for all names; when one fails, undo the others."""
    moves: list[tuple[Path, Path]] = []
    try:
        for name in names:
            if _is_there(target / name):
                _move(target / name, old / name, moves)
            _move(new / name, target / name, moves)
    except BaseException:
        for origin, destination in reversed(moves):
            destination.rename(origin)
        raise


def _move(origin: Path, destination: Path, moves: list[tuple[Path, Path]]) -> None:
    origin.rename(destination)
    moves.append((origin, destination))


def _clear(stage: Path, target: Path) -> None:
    """Remove the stage; what was moved there out of the target, and has no successor, goes back first."""
    for path in (stage / "old").glob("*"):
        if not _is_there(target / path.name):
            path.rename(target / path.name)
    if stage.exists():
        shutil.rmtree(stage)


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Wait for other processes that deploy to the same place; the lock ends with its holder."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
