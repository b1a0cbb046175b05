"""Which files of a failed container Compose had copied into it, and how they are passed on."""

from __future__ import annotations

import io
import stat
import tarfile
from typing import Any

import pytest

from maro.agent import inline_files

MADE, STARTED = "2026-01-02T03:04:05.25Z", "2026-01-02T03:04:07.75Z"
FOLDER = 1 << 31


def described(**labels: str) -> dict[str, Any]:
    return {"Created": MADE, "State": {"StartedAt": STARTED}, "Config": {"Labels": labels}}


def changes(*paths: str, deleted: str = "/gone") -> list[dict[str, Any]]:
    """As the engine tells them: folders as well, in no order that would help."""
    folders = {path.rpartition("/")[0] for path in paths} - {""}
    found = [{"Path": path, "Kind": 1} for path in paths] + [{"Path": path, "Kind": 0} for path in folders]
    return [*found, {"Path": deleted, "Kind": 2}]


def a_stat(mtime: str, size: int = 10, mode: int = 0o444) -> dict[str, Any]:
    return {"name": "file", "size": size, "mode": mode, "mtime": mtime, "linkTarget": ""}


def test_what_differs_from_the_image_may_have_been_copied() -> None:
    """Files; not what the engine puts into every container, and nothing that is gone."""
    found = inline_files.candidates(described(), changes("/etc/app/config", "/etc/hosts", "/run/secrets/key", "/top"))
    assert found == ["/run/secrets/key", "/top", "/etc/app/config"]
    assert inline_files.candidates(described(), None) == []


def test_no_more_than_some_files_are_looked_at() -> None:
    """Secrets, and those nearest to the root, first."""
    written = [f"/data/deep/down/{number}" for number in range(1000)]
    found = inline_files.candidates(described(), changes(*written, "/config", "/run/secrets/key"))
    assert len(found) == inline_files.MOST_FILES
    assert found[:2] == ["/run/secrets/key", "/config"]


@pytest.mark.parametrize(
    ("path", "about", "was"),
    [
        ("/config", a_stat("2026-01-02T03:04:06Z"), True),
        # Times in an archive are rounded, down or up.
        ("/config", a_stat("2026-01-02T03:04:05Z"), True),
        ("/config", a_stat("2026-01-02T03:04:08Z"), True),
        # The program wrote it.
        ("/config", a_stat("2026-01-02T03:04:08.123456789Z"), False),
        ("/config", a_stat("2026-01-02T03:04:06.5Z"), False),
        ("/config", a_stat("2026-01-02T03:14:00Z"), False),
        # It unpacked it.
        ("/config", a_stat("2025-01-02T03:04:06Z"), False),
        ("/config", a_stat("2026-01-02T03:04:06Z", size=inline_files.LARGEST + 1), False),
        ("/config", a_stat("2026-01-02T03:04:06Z", mode=FOLDER | 0o755), False),
        ("/run/secrets/key", a_stat("2025-01-02T03:04:06.5Z"), True),
        ("/run/secrets/key", a_stat("2025-01-02T03:04:06.5Z", mode=FOLDER | 0o755), False),
    ],
)
def test_a_file_was_copied_if_its_time_says_so(path: str, about: dict[str, Any], was: bool) -> None:
    """Whole seconds, between making and start."""
    assert inline_files.was_copied(described(), path, about) is was


def test_a_container_that_an_agent_made_passes_on_what_it_was_given_and_nothing_else() -> None:
    """Its files are older than itself."""
    # Given a container in another one's place, in which files were written, too
    labelled = described(**{inline_files.COPIED_LABEL: inline_files.label_of(["/b", "/a"])})
    # Then it is its label that counts
    assert inline_files.candidates(labelled, changes("/a", "/b", "/written")) == ["/a", "/b"]
    assert inline_files.was_copied(labelled, "/a", a_stat("2025-01-02T03:04:06Z"))
    # And one that was given nothing passes on nothing, whatever its label says
    for label in (inline_files.label_of([]), "none", '{"a": 1}'):
        assert inline_files.candidates(described(**{inline_files.COPIED_LABEL: label}), changes("/written")) == []


@pytest.mark.parametrize(
    "make", [stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK, stat.S_IFCHR], ids=str
)
def test_only_regular_files_are_passed_on(make: int) -> None:
    """By the bits of a mode as the engine, which is written in Go, has them."""
    go_bits = {
        stat.S_IFDIR: 1 << 31,
        stat.S_IFLNK: 1 << 27,
        stat.S_IFIFO: 1 << 25,
        stat.S_IFSOCK: 1 << 24,
        stat.S_IFBLK: 1 << 26,
        stat.S_IFCHR: 1 << 26 | 1 << 21,
    }
    assert not inline_files.was_copied(
        described(), "/run/secrets/key", a_stat("2026-01-02T03:04:06Z", mode=go_bits[make] | 0o400)
    )
    # Those that only change what a regular file may do are none of that kind.
    for harmless in (1 << 23, 1 << 22, 1 << 20):
        assert inline_files.was_copied(
            described(), "/run/secrets/key", a_stat("2026-01-02T03:04:06Z", mode=harmless | 0o400)
        )


def test_a_file_is_passed_on_with_its_folders_its_mode_its_owner_and_its_time() -> None:
    """The engine's archive has its bare name only."""
    # Given an archive of one file, as the engine makes it
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("key")
        member.size, member.mode, member.uid, member.gid, member.mtime = 3, 0o440, 7, 8, 1_700_000_000
        archive.addfile(member, io.BytesIO(b"abc"))
    # When it is made ready for the root
    made = inline_files.rooted(packed.getvalue(), "/run/secrets/key")
    # Then its path is there, and everything else as it was
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        (found,) = archive.getmembers()
        content = archive.extractfile(found)
        assert (found.name, found.mode, found.uid, found.gid, found.mtime) == (
            "run/secrets/key",
            0o440,
            7,
            8,
            1_700_000_000,
        )
        assert content is not None
        assert content.read() == b"abc"
