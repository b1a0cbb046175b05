"""Drivers: they own the sockets, connect, send and receive, and know nothing of groups."""

from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.driver.driver_type import DriverType

__all__ = ["AbsDriver", "DriverType"]
