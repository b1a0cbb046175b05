"""Messages between the components of a group.

with Proxy(group_name="demo", component_type="learner", expected_peers={"actor": 2}) as proxy:
    for reply in proxy.broadcast("actor", tag="work", session_type=SessionType.TASK, payload=7):
        print(reply.source, reply.payload)
"""

from maro.communication.dist_decorator import dist
from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.driver.driver_type import DriverType
from maro.communication.driver.memory_driver import MemoryDriver, MemoryNetwork
from maro.communication.driver.zmq_driver import ZmqDriver
from maro.communication.lifetime import LeaveGroup, open_proxies
from maro.communication.memory_store import MemoryServer, MemoryStore
from maro.communication.message import (
    Message,
    NotificationSessionStage,
    SessionMessage,
    SessionType,
    TaskSessionStage,
)
from maro.communication.proxy import Proxy
from maro.communication.registry_table import ConditionalEvent, Operation, RegisterTable
from maro.communication.settings import group_from_environment

__all__ = [
    "AbsDriver",
    "ConditionalEvent",
    "DriverType",
    "LeaveGroup",
    "MemoryDriver",
    "MemoryNetwork",
    "MemoryServer",
    "MemoryStore",
    "Message",
    "NotificationSessionStage",
    "Operation",
    "Proxy",
    "RegisterTable",
    "SessionMessage",
    "SessionType",
    "TaskSessionStage",
    "ZmqDriver",
    "dist",
    "group_from_environment",
    "open_proxies",
]
