"""What every other part of the package builds on: exceptions with codes, exit codes, loggers, and small helpers.

Importing it is cheap: no module outside the standard library is imported, and of that only what a line of a log needs.
"""

from maro.utils.dottable import DottableDict
from maro.utils.exception import ERROR_CODE, MAROException
from maro.utils.exit_code import exit_code_for
from maro.utils.logger import CliLogger, DummyLogger, InternalLogger, LogFormat, Logger, msgformat
from maro.utils.utils import check_deployment_status, clone, convert_dottable, deploy, set_seeds

__all__ = [
    "ERROR_CODE",
    "CliLogger",
    "DottableDict",
    "DummyLogger",
    "InternalLogger",
    "LogFormat",
    "Logger",
    "MAROException",
    "check_deployment_status",
    "clone",
    "convert_dottable",
    "deploy",
    "exit_code_for",
    "msgformat",
    "set_seeds",
]
