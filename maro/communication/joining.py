"""How a component joins its group: register, start watching, connect, and wait until the expected peers are there.

Nothing here sleeps for a fixed time: a wait ends when news come. Whoever fails half way leaves nothing behind.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from maro.communication import clock
from maro.communication.directory import Directory
from maro.communication.driver.abs_driver import AbsDriver
from maro.communication.driver.driver_type import DriverType
from maro.communication.exchange import Exchange
from maro.communication.observations import NoticeKind, PeerRecord
from maro.communication.probe import Probe, probe_of
from maro.communication.registration import (
    GroupStore,
    JobDetails,
    Registration,
    StoreRefusedError,
    StoreUnavailableError,
)
from maro.communication.settings import ProxySettings
from maro.utils.exception.communication_exception import (
    DriverTypeError,
    InformationUncompletedError,
    RedisConnectionError,
)
from maro.utils.logger import DummyLogger, InternalLogger

Result = TypeVar("Result")


def join(
    settings: ProxySettings,
    driver_type: Any,
    driver_parameters: Mapping[str, Any] | None,
    store: GroupStore | None,
    log: InternalLogger | DummyLogger,
) -> Exchange:
    """Join a group.

    Args:
        settings: of the Proxy.
        driver_type: a DriverType, or a class of the caller's own.
        driver_parameters: its arguments.
        store: of the group; None is the one in Redis.
        log: told of what happens to peers; closed where joining fails.

    Raises:
        DriverTypeError: the driver type is unknown.
        RedisConnectionError: Redis does not answer, or refuses.
        RejoinBudgetError: the component's name was restarted too often.
        InformationUncompletedError: not all expected peers came.
    """
    try:
        return _join(settings, driver_type, driver_parameters, store, log)
    except BaseException:
        log.close()
        raise


def _join(
    settings: ProxySettings,
    driver_type: Any,
    driver_parameters: Mapping[str, Any] | None,
    store: GroupStore | None,
    log: InternalLogger | DummyLogger,
) -> Exchange:
    driver_class = _driver_class(driver_type)
    if store is None:
        from maro.communication.redis_store import RedisStore

        kept_types = {settings.component_type, *settings.expected_peers}
        store = RedisStore(settings.redis_address, settings.group_name, settings.lease_s, kept_types)
    directory = Directory(store, settings.lease_s, settings.peers_catch_lifetime_s)
    driver: AbsDriver | None = None
    probe = probe_of(settings)
    try:
        host = _retry(settings, directory.outward_host)
        parameters = dict(driver_parameters or {})
        driver = driver_class(**{"component_type": settings.component_type, "logger": log, **parameters})
        if "advertise_host" not in parameters:
            driver.advertise(settings.advertise_host or host)
        registration = _registration(settings, driver)
        if probe is not None:
            probe.is_about_to_register()
        record = _retry(settings, lambda: directory.register(registration))
        if probe is None:
            exchange = Exchange(settings, record, driver, directory, log)
        else:
            exchange = _probed(probe, settings, record, driver, directory, log)
        directory.start(settings.expected_peers)
        _await_peers(settings, exchange)
        if probe is not None:
            probe.joined()
        return exchange
    except BaseException as error:
        if probe is not None:
            probe.ended(f"it could not join: {error!r}")
        if driver is not None:
            driver.close()
        directory.stop(NoticeKind.LEFT)
        raise


def _probed(probe: Probe, settings: ProxySettings, record: PeerRecord, *others: Any) -> Exchange:
    from maro.communication.probed import ProbedExchange  # here: hardly anybody needs it

    try:
        probe.registered(record)
    except OSError as error:
        raise ValueError(f"MARO_JOURNAL has to name a folder that can be written to: {error}") from error
    return ProbedExchange(probe, settings, record, *others)


def _driver_class(driver_type: Any) -> Any:
    if driver_type is DriverType.ZMQ:
        from maro.communication.driver.zmq_driver import ZmqDriver

        return ZmqDriver
    if inspect.isclass(driver_type) and issubclass(driver_type, AbsDriver):
        return driver_type
    raise DriverTypeError(
        f"{driver_type!r} is no driver type; use {', '.join(map(str, DriverType))} or a subclass of AbsDriver"
    )


def _registration(settings: ProxySettings, driver: AbsDriver) -> Registration:
    job = None
    if settings.job_id and settings.container_name:
        job = JobDetails(
            settings.job_id,
            settings.container_name,
            settings.enable_rejoin,
            settings.max_rejoin_times,
            settings.is_remove_failed_container,
        )
    return Registration(
        settings.name,
        settings.component_type,
        {str(kind): address for kind, address in driver.address.items()},
        settings.max_rejoin_times if settings.enable_rejoin else None,
        job,
    )


def _waits_s(settings: ProxySettings) -> Iterator[float]:
    return (settings.retry_interval_s * 2**number for number in range(settings.max_retries))


def _retry(settings: ProxySettings, ask: Callable[[], Result]) -> Result:
    """Ask the store until it answers."""
    waits_s = _waits_s(settings)
    while True:
        try:
            return ask()
        except StoreRefusedError as error:
            raise RedisConnectionError(
                f"{settings.name!r} can't join: {error}. Check user, password and rights"
            ) from error
        except StoreUnavailableError as error:
            wait_s = next(waits_s, None)
            if wait_s is None:
                raise RedisConnectionError(
                    f"{settings.name!r} can't join: {error}. Check that Redis runs there; asked "
                    f"{settings.max_retries + 1} times (max_retries)"
                ) from error
            clock.sleep(wait_s)


def _await_peers(settings: ProxySettings, exchange: Exchange) -> None:
    """Wait until the expected peers are connected. News end a wait early, and use up none of the budget."""
    waits_s = _waits_s(settings)
    reading_due = clock.monotonic() + settings.retry_interval_s
    while True:
        exchange.pump()
        missing = exchange.membership.missing()
        if not missing:
            return
        if clock.monotonic() >= reading_due:
            wait_s = next(waits_s, None)
            if wait_s is None:
                raise InformationUncompletedError(
                    f"{settings.name!r} still misses in group {settings.group_name!r}: "
                    + ", ".join(f"{count} of {settings.expected_peers[kind]} {kind}" for kind, count in missing.items())
                    + ". Start them, expect fewer, or wait longer (max_retries, retry_interval_base_value)"
                )
            exchange.directory.refresh()
            reading_due = clock.monotonic() + wait_s
        # What arrives meanwhile waits for the first call that receives.
        left_ms = max(0.0, reading_due - clock.monotonic()) * 1000
        exchange.driver.wait(left_ms, exchange.directory.mailbox.fileno(), readable=False)
