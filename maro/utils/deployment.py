"""Copies the topologies and image files that come with the package to `~/.maro`, as a whole or not at all.

The package's own source goes with them, so that the folder is a build context: an image that is built there holds the
version that deployed it, without a checkout or an index that has it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from maro.utils.exception.cli_exception import DeploymentError
from maro.utils.home import maro_home

TREES = ("docker", "compose", "scenarios")
"""The folders that are deployed, where the installation has them."""

FILES = (".dockerignore", "pyproject.toml", "README.md", "LICENSE")
"""The files that are deployed, where the installation has them: what building the package needs beside its source."""

PACKAGE = "maro"
"""The folder of the package's source."""

_VERSION_FILE = "version.json"
_STAGE = ".deploying"
_IGNORED = ("__pycache__", "*.pyc", "_packaged")


class Deployment:
    """The way from what an installation has to a folder that gets copies of it.

    Args:
        origins: the folders and files to deploy, by the names that they get.
        target: gets them, beside a file that says which version they are; nothing else in it is touched.
        version: the version of the package.
    """

    def __init__(self, origins: Mapping[str, Path], target: Path, version: str) -> None:
        self.target = target
        self.version = version
        self._origins = dict(origins)

    @classmethod
    def here(cls) -> Deployment:
        """From this installation to the home folder of this user.

        Raises:
            DeploymentError: the installation lacks the files, there is no home folder, or what runs is no installation
                but a deployed copy, which would only be copied onto itself.
        """
        from maro import __version__

        package = Path(__file__).resolve().parents[1]
        try:
            target, origins = maro_home(), packaged_origins(package)
        except OSError as error:
            raise DeploymentError(f"Can't deploy: {error}.") from error
        if package.parent == target.resolve():
            raise DeploymentError(
                f"Can't deploy: the package that runs is the deployed copy in {target} itself. Run the command from "
                f"another folder, and without {target} on PYTHONPATH, so that the installed package is found."
            )
        return cls(origins, target, __version__)

    def __repr__(self) -> str:
        return f"Deployment({', '.join(self._origins)} -> {str(self.target)!r}, {self.version})"

    def deployed_version(self) -> str | None:
        """The version that the target has; `None` if none was deployed, or that can't be told."""
        record = self._deployed_record()
        version = record.get("version") if isinstance(record, dict) else None
        return version if isinstance(version, str) else None

    def is_needed(self) -> bool:
        """Whether the target lacks a file, or has those of another version.

        Changes that the user made to the deployed files are the user's affair and do not count.

        Raises:
            DeploymentError: the files that would be deployed can't be read.
        """
        try:
            record = self._record()
        except OSError as error:
            raise DeploymentError(f"Can't read the files to deploy: {error}.") from error
        return self._deployed_record() != record or not all((self.target / name).is_file() for name in self._files())

    def run(self) -> list[Path]:
        """Deploy, whether it is needed or not, and say where the folders and files now are.

        Raises:
            DeploymentError: it did not work; the target holds what it held before.
        """
        try:
            self.target.mkdir(parents=True, exist_ok=True)
            with _only_one(self.target / f"{_STAGE}.lock"):
                return self._replace()
        except OSError as error:
            raise DeploymentError(
                f"Can't deploy to {self.target}: {error}. What was deployed before is unchanged; check that the "
                "folder can be written to and has room, then deploy again."
            ) from error

    def _replace(self) -> list[Path]:
        """Copy everything to a folder beside its destination, then swap by renaming."""
        stage = self.target / _STAGE
        _clear(stage, self.target)  # left by a process that was killed; the lock says that it is gone
        new, old = stage / "new", stage / "old"
        try:
            old.mkdir(parents=True)
            new.mkdir()
            # Before the copy: what changes meanwhile then counts as not deployed yet.
            record = self._record()
            for name, origin in self._origins.items():
                _copy(origin, new / name)
            (new / _VERSION_FILE).write_text(json.dumps(record) + "\n", encoding="utf-8")
            # The version file comes last: as long as it is the old one, the deployment counts as not done.
            _swap([*self._origins, _VERSION_FILE], new, self.target, old)
        finally:
            _clear(stage, self.target)
        return [self.target / name for name in self._origins]

    def _record(self) -> dict[str, str]:
        """What the version file says: the version, and a digest, which tells apart two states of one checkout."""
        digest = hashlib.sha256()
        for name, file in sorted(self._files().items()):
            content = file.read_bytes()
            digest.update(f"{name.as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
        return {"version": self.version, "sha256": digest.hexdigest()}

    def _deployed_record(self) -> object:
        """What the target's version file says; `None` if it can't be read."""
        try:
            record: object = json.loads((self.target / _VERSION_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record

    def _files(self) -> dict[Path, Path]:
        """All files to deploy, by their paths below the target."""
        files = {}
        for name, origin in self._origins.items():
            for path in _everything(origin):
                below = Path(name) / path.relative_to(origin)
                if path.is_file() and not any(_is_ignored(part) for part in below.parts):
                    files[below] = path
        return files


def packaged_origins(package: Path) -> dict[str, Path]:
    """What there is to deploy, by the names that it gets, given the folder of the package.

    Raises:
        FileNotFoundError: the installation has nothing but its source.
    """
    files = packaged_files(package)
    beside = {name: files / name for name in (*TREES, *FILES) if (files / name).exists()}
    return {**beside, PACKAGE: package}


def packaged_files(package: Path) -> Path:
    """The folder that holds what is deployed beside the source, given the folder of the package.

    An installed package has it inside; for a checkout it is the checkout. Beside an installed package lie other
    packages, one of which may be called `docker`: only a folder with a `pyproject.toml` is taken for a checkout.

    Raises:
        FileNotFoundError: there is none.
    """
    packaged, checkout = package / "_packaged", package.parent
    if packaged.is_dir():
        return packaged
    if (checkout / "pyproject.toml").is_file() and any((checkout / name).is_dir() for name in TREES):
        return checkout
    raise FileNotFoundError(f"this installation has no {packaged}; install the package again")


def _everything(origin: Path) -> list[Path]:
    """A file, or a folder and all that is in it."""
    return [origin, *origin.rglob("*")] if origin.is_dir() else [origin]


def _is_ignored(name: str) -> bool:
    """Whether a file or folder is made by installing or running the package, and so no source of it."""
    return any(fnmatchcase(name, pattern) for pattern in _IGNORED)


def _copy(origin: Path, destination: Path) -> None:
    """Copy a file or a folder; what can't be read is an OSError."""
    if origin.is_dir():
        shutil.copytree(origin, destination, ignore=_ignored_names)
    else:
        shutil.copy2(origin, destination)
    # A read-only installation must not make a copy that the next deployment can't replace.
    for path in _everything(destination):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def _ignored_names(_folder: str, names: Iterable[str]) -> set[str]:
    return set(filter(_is_ignored, names))


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
