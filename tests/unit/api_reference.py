"""The documented API as a table of facts: what is where, derived from what, with which parameters and defaults.

A list of parameters is written as in a definition, without annotations and without `self`. A default is a literal, a
member of an enumeration (`SessionType.TASK`), or a call that makes an object of a class (`DummyLogger()`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["module", "class", "enumeration", "function", "method", "property", "member"]


@dataclass(frozen=True)
class Entry:
    """One documented name; `parameters` of a class are those of its constructor, None where they are not documented."""

    kind: Kind
    path: str
    base: str = ""
    parameters: str | None = None
    abstract: bool = False
    value: object = None


def module(path: str) -> Entry:
    """A module that can be imported."""
    return Entry("module", path)


def class_(path: str, base: str, parameters: str | None = None) -> Entry:
    """A class, or an exception."""
    return Entry("class", path, base, parameters)


def enumeration(path: str) -> Entry:
    """An Enum."""
    return Entry("enumeration", path, "enum.Enum")


def member(path: str, value: object) -> Entry:
    """A member of an Enum."""
    return Entry("member", path, value=value)


def function(path: str, parameters: str) -> Entry:
    """A function of a module."""
    return Entry("function", path, parameters=parameters)


def method(path: str, parameters: str, *, abstract: bool = False) -> Entry:
    """A method."""
    return Entry("method", path, parameters=parameters, abstract=abstract)


def property_(path: str, *, abstract: bool = False) -> Entry:
    """A property."""
    return Entry("property", path, abstract=abstract)


MARO_EXCEPTION = "maro.utils.exception.base_exception.MAROException"

ENTRIES = (
    module("maro.utils.logger"),
    class_("maro.utils.logger.CliLogger", "object", "name"),
    method("maro.utils.logger.CliLogger.debug", "message"),
    method("maro.utils.logger.CliLogger.debug_green", "message"),
    method("maro.utils.logger.CliLogger.debug_yellow", "message"),
    method("maro.utils.logger.CliLogger.error", "message"),
    method("maro.utils.logger.CliLogger.error_red", "message"),
    method("maro.utils.logger.CliLogger.info", "message"),
    method("maro.utils.logger.CliLogger.info_green", "message"),
    method("maro.utils.logger.CliLogger.passive_init", ""),
    method("maro.utils.logger.CliLogger.warning", "message"),
    method("maro.utils.logger.CliLogger.warning_yellow", "message"),
    class_("maro.utils.logger.DummyLogger", "object"),
    method("maro.utils.logger.DummyLogger.critical", "msg, *args"),
    method("maro.utils.logger.DummyLogger.debug", "msg, *args"),
    method("maro.utils.logger.DummyLogger.error", "msg, *args"),
    method("maro.utils.logger.DummyLogger.info", "msg, *args"),
    method("maro.utils.logger.DummyLogger.warn", "msg, *args"),
    class_(
        "maro.utils.logger.InternalLogger",
        "maro.utils.logger.Logger",
        "component_name, tag='maro_internal', format_=LogFormat.internal, dump_folder=None, dump_mode='a', "
        "extension_name='log', auto_timestamp=False",
    ),
    enumeration("maro.utils.logger.LogFormat"),
    member("maro.utils.logger.LogFormat.cli_debug", 4),
    member("maro.utils.logger.LogFormat.cli_info", 5),
    member("maro.utils.logger.LogFormat.full", 1),
    member("maro.utils.logger.LogFormat.internal", 3),
    member("maro.utils.logger.LogFormat.none", 6),
    member("maro.utils.logger.LogFormat.simple", 2),
    class_(
        "maro.utils.logger.Logger",
        "object",
        "tag, format_=LogFormat.simple, dump_folder='', dump_mode='w', extension_name='log', "
        "auto_timestamp=False, stdout_level='INFO'",
    ),
    method("maro.utils.logger.Logger.critical", "msg, *args"),
    method("maro.utils.logger.Logger.debug", "msg, *args"),
    method("maro.utils.logger.Logger.error", "msg, *args"),
    method("maro.utils.logger.Logger.info", "msg, *args"),
    method("maro.utils.logger.Logger.warn", "msg, *args"),
    function("maro.utils.logger.msgformat", "logfunc"),
    module("maro.utils.exception.backends_exception"),
    class_("maro.utils.exception.backends_exception.BackendsAccessDeletedNodeException", MARO_EXCEPTION, ""),
    class_("maro.utils.exception.backends_exception.BackendsAppendToNonListAttributeException", MARO_EXCEPTION, ""),
    class_("maro.utils.exception.backends_exception.BackendsArrayAttributeAccessException", MARO_EXCEPTION, ""),
    class_("maro.utils.exception.backends_exception.BackendsClearNonListAttributeException", MARO_EXCEPTION, ""),
    class_("maro.utils.exception.backends_exception.BackendsGetItemInvalidException", MARO_EXCEPTION, ""),
    class_("maro.utils.exception.backends_exception.BackendsInsertNonListAttributeException", MARO_EXCEPTION, ""),
    class_("maro.utils.exception.backends_exception.BackendsInvalidAttributeException", MARO_EXCEPTION, ""),
    class_("maro.utils.exception.backends_exception.BackendsInvalidNodeException", MARO_EXCEPTION, ""),
    class_("maro.utils.exception.backends_exception.BackendsRemoveFromNonListAttributeException", MARO_EXCEPTION, ""),
    class_("maro.utils.exception.backends_exception.BackendsResizeNonListAttributeException", MARO_EXCEPTION, ""),
    class_("maro.utils.exception.backends_exception.BackendsSetItemInvalidException", MARO_EXCEPTION, ""),
    module("maro.utils.exception.base_exception"),
    class_("maro.utils.exception.base_exception.MAROException", "Exception", "error_code=1000, msg=None"),
    module("maro.utils.exception.cli_exception"),
    class_(
        "maro.utils.exception.cli_exception.BadRequestError",
        "maro.utils.exception.cli_exception.UserFault",
        "message=None",
    ),
    class_("maro.utils.exception.cli_exception.CliError", MARO_EXCEPTION, "message=None, error_code=3000"),
    method("maro.utils.exception.cli_exception.CliError.get_message", ""),
    class_(
        "maro.utils.exception.cli_exception.CliInternalError",
        "maro.utils.exception.cli_exception.ClientError",
        "message=None",
    ),
    class_(
        "maro.utils.exception.cli_exception.ClientError",
        "maro.utils.exception.cli_exception.CliError",
        "message=None, error_code=3000",
    ),
    class_(
        "maro.utils.exception.cli_exception.ClusterInternalError",
        "maro.utils.exception.cli_exception.ServiceError",
        "message=None",
    ),
    class_(
        "maro.utils.exception.cli_exception.CommandError",
        "maro.utils.exception.cli_exception.CliError",
        "cli_command, message=None",
    ),
    class_(
        "maro.utils.exception.cli_exception.CommandExecutionError",
        "maro.utils.exception.cli_exception.ServiceError",
        "message=None, command=None",
    ),
    method("maro.utils.exception.cli_exception.CommandExecutionError.get_message", ""),
    class_(
        "maro.utils.exception.cli_exception.CommandNotFoundError",
        "maro.utils.exception.cli_exception.UserFault",
        "message=None, usage=''",
    ),
    class_(
        "maro.utils.exception.cli_exception.DeploymentError",
        "maro.utils.exception.cli_exception.UserFault",
        "message=None",
    ),
    class_(
        "maro.utils.exception.cli_exception.FileOperationError",
        "maro.utils.exception.cli_exception.UserFault",
        "message=None",
    ),
    class_(
        "maro.utils.exception.cli_exception.InvalidDeploymentTemplateError",
        "maro.utils.exception.cli_exception.UserFault",
        "message=None",
    ),
    class_(
        "maro.utils.exception.cli_exception.ProcessInternalError",
        "maro.utils.exception.cli_exception.UserFault",
        "message=None",
    ),
    class_(
        "maro.utils.exception.cli_exception.ServiceError",
        "maro.utils.exception.cli_exception.CliError",
        "message=None, error_code=3000",
    ),
    class_(
        "maro.utils.exception.cli_exception.UserFault",
        "maro.utils.exception.cli_exception.CliError",
        "message=None, error_code=3000",
    ),
    module("maro.utils.exception.communication_exception"),
    class_("maro.utils.exception.communication_exception.ConditionalEventSyntaxError", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.DriverReceiveError", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.DriverSendError", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.DriverTypeError", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.InformationUncompletedError", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.MessageSessionTypeError", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.PeersConnectionError", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.PeersDisconnectionError", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.PeersMissError", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.PeersRejoinTimeout", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.PendingToSend", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.RedisConnectionError", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.communication_exception.SocketTypeError", MARO_EXCEPTION, "msg=None"),
    module("maro.utils.exception.data_lib_exeption"),
    class_("maro.utils.exception.data_lib_exeption.CimGeneratorInvalidParkingDuration", MARO_EXCEPTION, ""),
    class_("maro.utils.exception.data_lib_exeption.MetaTimestampNotExist", MARO_EXCEPTION, ""),
    module("maro.utils.exception.error_code"),
    module("maro.utils.exception.rl_toolkit_exception"),
    class_("maro.utils.exception.rl_toolkit_exception.MissingOptimizer", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.rl_toolkit_exception.StoreMisalignment", MARO_EXCEPTION, "msg=None"),
    class_("maro.utils.exception.rl_toolkit_exception.UnrecognizedTask", MARO_EXCEPTION, "msg=None"),
    module("maro.utils.exception.simulator_exception"),
    class_("maro.utils.exception.simulator_exception.BusinessEngineNotFoundError", MARO_EXCEPTION, ""),
    module("maro.communication.driver.abs_driver"),
    class_("maro.communication.driver.abs_driver.AbsDriver", "abc.ABC"),
    property_("maro.communication.driver.abs_driver.AbsDriver.address", abstract=True),
    method("maro.communication.driver.abs_driver.AbsDriver.broadcast", "component_type, message", abstract=True),
    method("maro.communication.driver.abs_driver.AbsDriver.close", "", abstract=True),
    method("maro.communication.driver.abs_driver.AbsDriver.connect", "peers_address", abstract=True),
    method("maro.communication.driver.abs_driver.AbsDriver.receive", "", abstract=True),
    method("maro.communication.driver.abs_driver.AbsDriver.send", "message", abstract=True),
    module("maro.communication.driver.driver_type"),
    enumeration("maro.communication.driver.driver_type.DriverType"),
    member("maro.communication.driver.driver_type.DriverType.ZMQ", "zmq_driver"),
    module("maro.communication.driver.zmq_driver"),
    class_(
        "maro.communication.driver.zmq_driver.ZmqDriver",
        "maro.communication.driver.abs_driver.AbsDriver",
        "component_type, protocol='tcp', send_timeout=-1, receive_timeout=-1, logger=DummyLogger()",
    ),
    property_("maro.communication.driver.zmq_driver.ZmqDriver.address"),
    method("maro.communication.driver.zmq_driver.ZmqDriver.broadcast", "topic, message"),
    method("maro.communication.driver.zmq_driver.ZmqDriver.close", ""),
    method("maro.communication.driver.zmq_driver.ZmqDriver.connect", "peers_address_dict"),
    method("maro.communication.driver.zmq_driver.ZmqDriver.disconnect", "peers_address_dict"),
    method("maro.communication.driver.zmq_driver.ZmqDriver.receive", "is_continuous=True, timeout=None"),
    method("maro.communication.driver.zmq_driver.ZmqDriver.send", "message"),
    module("maro.communication.dist_decorator"),
    function("maro.communication.dist_decorator.dist", "proxy, handler_dict"),
    module("maro.communication.message"),
    class_("maro.communication.message.Message", "object", "tag, source, destination, payload=None"),
    method("maro.communication.message.Message.forward", "destination, tag=None, payload=None"),
    method("maro.communication.message.Message.reply", "tag=None, payload=None"),
    enumeration("maro.communication.message.NotificationSessionStage"),
    member("maro.communication.message.NotificationSessionStage.RECEIVE", "notification_receive"),
    member("maro.communication.message.NotificationSessionStage.REQUEST", "notification_request"),
    class_(
        "maro.communication.message.SessionMessage",
        "maro.communication.message.Message",
        "tag, source, destination, payload=None, session_type=SessionType.TASK, session_stage=None",
    ),
    enumeration("maro.communication.message.SessionType"),
    member("maro.communication.message.SessionType.NOTIFICATION", "notification"),
    member("maro.communication.message.SessionType.TASK", "task"),
    enumeration("maro.communication.message.TaskSessionStage"),
    member("maro.communication.message.TaskSessionStage.COMPLETE", "task_complete"),
    member("maro.communication.message.TaskSessionStage.RECEIVE", "task_receive"),
    member("maro.communication.message.TaskSessionStage.REQUEST", "task_request"),
    module("maro.communication.proxy"),
    class_(
        "maro.communication.proxy.Proxy",
        "object",
        "group_name, component_type, expected_peers, driver_type=DriverType.ZMQ, driver_parameters=None, "
        "redis_address=('localhost', 6379), max_retries=10, retry_interval_base_value=0.1, log_enable=True, "
        "enable_rejoin=False, minimal_peers=1, peers_catch_lifetime=10, enable_message_cache_for_rejoin=False, "
        "max_length_for_message_cache=1024, timeout_for_minimal_peer_number=300, "
        "is_remove_failed_container=False, max_rejoin_times=5",
    ),
    method("maro.communication.proxy.Proxy.broadcast", "component_type, tag, session_type, payload=None, timeout=None"),
    property_("maro.communication.proxy.Proxy.component_type"),
    method("maro.communication.proxy.Proxy.forward", "message, destination, tag=None, payload=None"),
    method("maro.communication.proxy.Proxy.get_peer_type", "peer_name"),
    property_("maro.communication.proxy.Proxy.group_name"),
    method("maro.communication.proxy.Proxy.ibroadcast", "component_type, tag, session_type, payload=None"),
    method("maro.communication.proxy.Proxy.iscatter", "tag, session_type, destination_payload_list"),
    method("maro.communication.proxy.Proxy.isend", "message"),
    property_("maro.communication.proxy.Proxy.name"),
    property_("maro.communication.proxy.Proxy.peers_name"),
    method("maro.communication.proxy.Proxy.receive", "is_continuous=True, timeout=None"),
    method("maro.communication.proxy.Proxy.receive_by_id", "targets, timeout=None"),
    method("maro.communication.proxy.Proxy.reply", "message, tag=None, payload=None, ack_reply=False"),
    method("maro.communication.proxy.Proxy.scatter", "tag, session_type, destination_payload_list, timeout=-1"),
    method("maro.communication.proxy.Proxy.send", "message, timeout=None"),
    module("maro.communication.registry_table"),
    class_("maro.communication.registry_table.ConditionalEvent", "object", "event, peers_name"),
    method("maro.communication.registry_table.ConditionalEvent.clear", ""),
    method("maro.communication.registry_table.ConditionalEvent.get_qualified_message", ""),
    method("maro.communication.registry_table.ConditionalEvent.push_message", "message"),
    enumeration("maro.communication.registry_table.Operation"),
    member("maro.communication.registry_table.Operation.AND", "AND"),
    member("maro.communication.registry_table.Operation.OR", "OR"),
    class_("maro.communication.registry_table.RegisterTable", "object", "peers_name"),
    method("maro.communication.registry_table.RegisterTable.clear", ""),
    method("maro.communication.registry_table.RegisterTable.get", ""),
    method("maro.communication.registry_table.RegisterTable.push", "message, auto_trigger=True"),
    method("maro.communication.registry_table.RegisterTable.register_event_handler", "event, handler_fn"),
    class_("maro.communication.registry_table.SuffixTree", "object", "value=None, nodes=None"),
    module("maro.utils.utils"),
    class_("maro.utils.utils.DottableDict", "dict", "*args, **kwargs"),
    function("maro.utils.utils.check_deployment_status", ""),
    function("maro.utils.utils.clone", "obj"),
    function("maro.utils.utils.convert_dottable", "natural_dict"),
    function("maro.utils.utils.deploy", "hide_info=True"),
    function("maro.utils.utils.set_seeds", "seed"),
)
