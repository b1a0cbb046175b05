"""The drivers that come with the library."""

from enum import Enum


class DriverType(Enum):
    """How components reach each other."""

    ZMQ = "zmq_driver"
    """ZeroMQ over TCP, or over Unix sockets on one machine."""
