"""Every exception: its code, its text, its place in the family, and that it survives the way to another process."""

from __future__ import annotations

import copy
import importlib
import pickle

import pytest

from maro.utils.exception import communication_exception
from maro.utils.exception.base_exception import MAROException
from maro.utils.exception.cli_exception import (
    ClientError,
    CliError,
    CommandError,
    CommandExecutionError,
    CommandNotFoundError,
    ServiceError,
    UserFault,
)
from maro.utils.exception.communication_exception import DriverReceiveError, PeersRejoinTimeout, RejoinBudgetError
from maro.utils.exception.error_code import ERROR_CODE

_BY_MODULE = {
    "base_exception": {1000: "MAROException"},
    "communication_exception": {
        1001: "RedisConnectionError",
        1002: "PeersMissError",
        1003: "InformationUncompletedError",
        1004: "PeersConnectionError",
        1005: "DriverSendError",
        1006: "DriverReceiveError",
        1007: "MessageSessionTypeError",
        1008: "ConditionalEventSyntaxError",
        1009: "DriverTypeError",
        1010: "SocketTypeError",
        1011: "PeersDisconnectionError",
        1012: "PendingToSend",
        1013: "PeersRejoinTimeout",
        1014: "RejoinBudgetError",
        1015: "ComponentFencedError",
        1016: "ProxyClosedError",
        1017: "ProxyThreadError",
    },
    "data_lib_exeption": {2000: "MetaTimestampNotExist", 2001: "CimGeneratorInvalidParkingDuration"},
    "backends_exception": {
        2100: "BackendsGetItemInvalidException",
        2101: "BackendsSetItemInvalidException",
        2102: "BackendsArrayAttributeAccessException",
        2103: "BackendsAppendToNonListAttributeException",
        2104: "BackendsResizeNonListAttributeException",
        2105: "BackendsClearNonListAttributeException",
        2106: "BackendsInsertNonListAttributeException",
        2107: "BackendsRemoveFromNonListAttributeException",
        2108: "BackendsAccessDeletedNodeException",
        2109: "BackendsInvalidNodeException",
        2110: "BackendsInvalidAttributeException",
    },
    "simulator_exception": {2200: "BusinessEngineNotFoundError"},
    "cli_exception": {
        3000: "CliError",
        3001: "BadRequestError",
        3002: "InvalidDeploymentTemplateError",
        3003: "DeploymentError",
        3004: "FileOperationError",
        3005: "ProcessInternalError",
        3006: "CommandNotFoundError",
        3007: "CommandError",
        3100: "CliInternalError",
        3200: "ClusterInternalError",
        3201: "CommandExecutionError",
    },
    "rl_toolkit_exception": {4000: "StoreMisalignment", 4001: "MissingOptimizer", 4002: "UnrecognizedTask"},
}
_TABLE = [(module, code, name) for module, rows in _BY_MODULE.items() for code, name in rows.items()]
_IDS = [name for _, _, name in _TABLE]


def _class(module: str, name: str) -> type[MAROException]:
    found: type[MAROException] = getattr(importlib.import_module(f"maro.utils.exception.{module}"), name)
    assert issubclass(found, MAROException)
    return found


def _made(module: str, name: str) -> MAROException:
    """An instance without a text of its own."""
    found = _class(module, name)
    return found("maro start") if issubclass(found, CommandError) else found()


@pytest.mark.parametrize(("module", "code", "name"), _TABLE, ids=_IDS)
def test_without_a_text_the_code_speaks(module: str, code: int, name: str) -> None:
    """Given no text, when an exception is made, then it has its code, the code's text, and says so in its repr."""
    error = _made(module, name)

    assert error.error_code == code
    assert error.strerror == ERROR_CODE[code]
    assert repr(error) == f"{name}({ERROR_CODE[code]})"


@pytest.mark.parametrize(("module", "code", "name"), _TABLE, ids=_IDS)
def test_crosses_processes(module: str, code: int, name: str) -> None:
    """Given any exception with something extra on it, when it is pickled and copied, then nothing is lost."""
    error = _made(module, name)
    error.strerror = "the disk of node 7 is full"
    error.extra = ["anything"]  # type: ignore[attr-defined]

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is type(error)
        assert vars(again) == vars(error)
        assert (again.args, str(again), repr(again)) == (error.args, str(error), repr(error))
    assert vars(copy.deepcopy(error)) == vars(error)


def test_the_table_is_the_codes_in_use() -> None:
    """Given all classes, when their codes are put together, then they are the keys of ERROR_CODE, each used once."""
    codes = [code for _, code, _ in _TABLE]

    assert sorted(codes) == sorted(ERROR_CODE)
    assert len(set(ERROR_CODE.values())) == len(ERROR_CODE)


@pytest.mark.parametrize("name", list(_BY_MODULE["communication_exception"].values()))
def test_a_text_replaces_the_codes(name: str) -> None:
    """Given a text, by position or by name, when an exception is made, then it shows this text, and `str` is it."""
    found = getattr(communication_exception, name)

    assert str(found("actor_2 is away")) == "actor_2 is away"
    assert found(msg="actor_2 is away").strerror == "actor_2 is away"
    assert repr(found("actor_2 is away")) == f"{name}(actor_2 is away)"


def test_an_unknown_code_is_kept() -> None:
    """Given a code that is in no table, when an exception is made with it, then it is kept and the text says so."""
    error = MAROException(987654)

    assert error.error_code == 987654
    assert "987654" in error.strerror


def test_user_subclasses_cross_processes_too() -> None:
    """Given a subclass whose constructor asks for more than its base, when it is pickled, then it comes back whole."""
    error = _Picky(3, where="here")

    again = pickle.loads(pickle.dumps(error))

    assert (type(again), again.number, again.where, again.strerror) == (_Picky, 3, "here", "number 3")


class _Picky(MAROException):
    def __init__(self, number: int, *, where: str) -> None:
        super().__init__(1000, f"number {number}")
        self.number = number
        self.where = where


def test_a_receive_error_carries_what_had_arrived() -> None:
    """Given replies that came before the failure, when the error is pickled, then they are still on it, as a list."""
    error = DriverReceiveError("actor_1 is gone", replies=("a", "b"))

    assert pickle.loads(pickle.dumps(error)).replies == ["a", "b"]
    assert DriverReceiveError().replies == []
    with pytest.raises(TypeError):
        DriverReceiveError("text", ["a"])  # type: ignore[call-arg]


def test_a_spent_budget_is_a_rejoin_timeout_of_its_own() -> None:
    """Given a handler for PeersRejoinTimeout, when a budget is spent, then it sees it, with its own code and text."""
    with pytest.raises(PeersRejoinTimeout) as caught:
        raise RejoinBudgetError

    assert caught.value.error_code == 1014
    assert caught.value.strerror == ERROR_CODE[1014]


@pytest.mark.parametrize("family", [CliError, UserFault, ClientError, ServiceError])
def test_the_families_of_the_command_take_message_then_code(family: type[CliError]) -> None:
    """Given a family of command errors, when made with and without arguments, then 3000 is only its default."""
    assert (family().error_code, family().strerror) == (3000, ERROR_CODE[3000])
    assert (family("no", 3042).error_code, family("no", 3042).get_message()) == (3042, "no")


def test_what_the_errors_about_commands_say() -> None:
    """Given errors about a command, when they are shown, then the command, its usage and the reason are to be seen."""
    failed = CommandExecutionError("exit code 1", "docker compose up")
    refused = CommandError("maro start", "no such file")
    unknown = CommandNotFoundError("no command 'strat'", usage="maro start FILE")

    assert "docker compose up" in failed.get_message() and "exit code 1" in failed.get_message()
    assert failed.strerror == "exit code 1" and repr(failed) == "CommandExecutionError(exit code 1)"
    assert CommandExecutionError("exit code 1").get_message() == "exit code 1"
    assert "maro start" in str(refused) and "no such file" in str(refused)
    assert refused.get_message() == "no such file"
    assert unknown.usage == "maro start FILE"
    assert CommandNotFoundError().usage == ""


def test_both_spellings_are_one() -> None:
    """Given the documented spelling and the ordinary one, when both are imported, then the classes are the same."""
    documented = importlib.import_module("maro.utils.exception.data_lib_exeption")
    ordinary = importlib.import_module("maro.utils.exception.data_lib_exception")

    assert documented.MetaTimestampNotExist is ordinary.MetaTimestampNotExist
    assert documented.CimGeneratorInvalidParkingDuration is ordinary.CimGeneratorInvalidParkingDuration
