"""Files that Compose copies into a container between making and starting it, and that one in its place needs as well.

The content of `configs` and `secrets` that is written in the Compose file itself, or comes from a variable, is mounted
from nowhere: Compose copies it into the new container's own layer, and nothing that the engine tells of the container
says which files these are. They are known by what they have in common:

    - they differ from the image;
    - their time is one of whole seconds, for it came in a tar archive, and a program's own files have fractions;
    - it lies between the making of the container and its start, or they are in the folder of secrets.

A container that an agent made says in a label which files it was given, and only these are passed on.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

from maro.agent.description import Description, seconds_of

COPIED_LABEL = "maro.copied-files"
MOST_FILES = 200
"""That are looked at, those nearest to the root first: a program that wrote thousands should not delay its return."""
LARGEST = 1 << 20
"""Bytes of one; Compose files don't hold more."""
_SECRETS = "/run/secrets/"
_DELETED = 2
_OF_THE_ENGINE = ("/.dockerenv", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/mtab")
_ROUNDING_S = 1.0
"""Of times in a tar archive, and then some."""
_NO_REGULAR_FILE = 0b1000_1111_0010_1000 << 16
"""Bits of a mode as the engine writes it: folder, link, device, pipe, socket, character device, irregular."""


def candidates(described: Description, changes: Iterable[Mapping[str, Any]] | None) -> list[str]:
    """The paths that may be such files.

    Args:
        described: the container.
        changes: what the engine says that differs from the image; None if nothing does.
    """
    label = (described["Config"].get("Labels") or {}).get(COPIED_LABEL)
    if label is not None:
        return _paths_in(label)
    present = [change["Path"] for change in changes or () if change["Kind"] != _DELETED]
    folders = {path.rpartition("/")[0] for path in present}
    files = (path for path in present if path not in folders and path not in _OF_THE_ENGINE)
    return sorted(files, key=lambda path: (not path.startswith(_SECRETS), path.count("/"), path))[:MOST_FILES]


def was_copied(described: Description, path: str, stat: Mapping[str, Any]) -> bool:
    """Whether a candidate is such a file, as far as can be told.

    Args:
        described: the container.
        path: of the candidate.
        stat: what the engine says of it: `size`, `mode`, `mtime`.
    """
    if stat["mode"] & _NO_REGULAR_FILE or stat["size"] > LARGEST:
        return False
    if path.startswith(_SECRETS) or COPIED_LABEL in (described["Config"].get("Labels") or {}):
        return True
    changed_at_s = seconds_of(stat["mtime"])
    made_at_s, started_at_s = seconds_of(described["Created"]), seconds_of(described["State"]["StartedAt"])
    is_between = made_at_s - _ROUNDING_S <= changed_at_s <= started_at_s + _ROUNDING_S
    return is_between and changed_at_s == int(changed_at_s)


def label_of(paths: Iterable[str]) -> str:
    """What the label of a container says that was given these."""
    return json.dumps(sorted(paths))


def rooted(archive: bytes, path: str) -> bytes:
    """An archive of one file, which has its bare name there, as one that is unpacked at the root: folders are made."""
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=made, mode="w") as new:
        for member in old.getmembers():
            content = old.extractfile(member)
            member.name = path.lstrip("/")
            member.pax_headers = {}
            new.addfile(member, content)
    return made.getvalue()


def _paths_in(label: str) -> list[str]:
    try:
        paths = json.loads(label)
    except ValueError:
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []
