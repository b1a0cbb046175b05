"""What components wrote about a run, and the verdict on it.

verdict = check(journals_in(folder))
print(verdict.report())
"""

from maro.testbed.history.checker import check
from maro.testbed.history.events import JournalError
from maro.testbed.history.faults import Injected, read_injected
from maro.testbed.history.reader import Journal, journals_in
from maro.testbed.history.verdict import Limits, Recovery, Verdict

__all__ = [
    "Injected",
    "Journal",
    "JournalError",
    "Limits",
    "Recovery",
    "Verdict",
    "check",
    "journals_in",
    "read_injected",
]
