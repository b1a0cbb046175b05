"""The same classes as `data_lib_exception`, under the spelling that existing programs import."""

from maro.utils.exception.data_lib_exception import CimGeneratorInvalidParkingDuration, MetaTimestampNotExist

__all__ = ["CimGeneratorInvalidParkingDuration", "MetaTimestampNotExist"]
