"""What is deployed is a build context: the package that is built there is the one that deployed it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def build_wheel(context: Path, folder: Path) -> Path:
    """Build the package from the source in `context`, with what is installed here; the wheel, in `folder`."""
    if find_spec("hatchling") is None:
        pytest.skip("no hatchling to build a wheel with; pip install hatchling")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], context)
    (wheel,) = folder.glob("*.whl")
    return wheel


def deploy(package_folder: Path, home: Path) -> Path:
    """Let the package that lies in `package_folder` deploy itself to a home folder; the deployed copy."""
    home.mkdir()
    run([sys.executable, "-m", "maro", "meta", "deploy"], home, HOME=str(home), PYTHONPATH=str(package_folder))
    return home / ".maro"


def run(command: list[str], folder: Path, **environment: str) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def content(wheel: Path) -> dict[str, bytes]:
    """The files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("origin", ["checkout", "wheel"])
def test_a_deployed_copy_builds_the_same_package(tmp_path: Path, origin: str) -> None:
    """Neither a checkout nor an index is needed to build an image of the very version that is installed."""
    # Given the package as a checkout, or as it is installed from a wheel
    built = build_wheel(ROOT, tmp_path / "built")
    package_folder = ROOT
    if origin == "wheel":
        package_folder = tmp_path / "site-packages"
        zipfile.ZipFile(built).extractall(package_folder)
    # When it deploys itself, and the package is built from that
    context = deploy(package_folder, tmp_path / "home")
    assert (context / "pyproject.toml").is_file(), f"what was deployed can't be built: {sorted(context.iterdir())}"
    rebuilt = build_wheel(context, tmp_path / "rebuilt")
    # Then it is the same package, file by file
    expected, found = content(built), content(rebuilt)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert any(name.startswith("maro/_packaged/docker/") for name in found)
