"""JUnit's XML, which every CI system shows: one file, one suite, one case for each thing that was tried."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write; the escapes of a terminal's colours, for one."""


class Result(enum.Enum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was tried."""

    group: str
    """What it belongs to; shown as the class of a test."""
    name: str
    seconds: float
    result: Result
    message: str = ""
    """Why it failed, or was skipped."""
    output: str = ""
    """More on what happened, whatever the result."""


def write_junit(path: Path, suite: str, cases: Sequence[Case]) -> None:
    """Write the file, as a whole or not at all; the folders on the way are made.

    Raises:
        OSError: it can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(junit_text(suite, cases), encoding="utf-8")
    part.replace(path)


def junit_text(suite: str, cases: Sequence[Case]) -> str:
    """The text of the file."""
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.result is Result.FAILED for case in cases)),
        "errors": "0",
        "skipped": str(sum(case.result is Result.SKIPPED for case in cases)),
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }
    root = ElementTree.Element("testsuites", counts)
    element = ElementTree.SubElement(root, "testsuite", {"name": _writable(suite), **counts})
    for case in cases:
        _add(element, case)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _add(suite: ElementTree.Element, case: Case) -> None:
    names = {"classname": _writable(case.group), "name": _writable(case.name)}
    element = ElementTree.SubElement(suite, "testcase", {**names, "time": f"{case.seconds:.3f}"})
    if case.result is not Result.PASSED:
        message = _writable(case.message)
        first_line = message.partition("\n")[0]
        ElementTree.SubElement(element, case.result.value, {"message": first_line}).text = message
    if case.output:
        ElementTree.SubElement(element, "system-out").text = _writable(case.output)


def _writable(text: str) -> str:
    return _NOT_IN_XML.sub("?", text)
