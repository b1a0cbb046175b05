"""Turns a local class into a component: a proxy's messages call handlers on its instances."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from maro.communication.event_syntax import Event
from maro.communication.registry_table import RegisterTable

if TYPE_CHECKING:
    from maro.communication.proxy import Proxy


def dist(proxy: Proxy, handler_dict: Mapping[Event, Callable[..., Any]]) -> Callable[[type[Any]], type[Any]]:
    """Decorate a class so that its instances can be launched as a component.

    The result is a subclass that bears the class's name and documentation and adds `launch()`, nothing else;
    constructor and attributes are the class's own (its methods call `super()` without arguments: the name of the class
    now means the subclass). `launch()` receives until the proxy is closed and calls
    `handler(instance, proxy, messages)` once for every time that an event is satisfied, also when peers that came or
    went make it so. What waits belongs to one launch. Messages are finished when every handler that they were given to
    has returned. A handler's exception leaves `launch()`: its messages, and all that wait, then stay unfinished.

    Args:
        proxy: receives the messages; its peers are those that events speak of.
        handler_dict: handlers by conditional event; a copy is made.

    Raises:
        ConditionalEventSyntaxError: an event does not follow the grammar.
        PeersMissError: an event names a source that the proxy does not know.
        TypeError: a handler can't be called, or what is decorated is no class.
    """
    prototype = RegisterTable(proxy.peers_name)
    for event, handler in handler_dict.items():
        prototype.register_event_handler(event, handler)

    def decorate(local_class: type[Any]) -> type[Any]:
        if not isinstance(local_class, type):
            raise TypeError(f"dist decorates a class, not {local_class!r}")

        def launch(self: Any) -> None:
            """Receive messages and call the handlers of the events that they satisfy, until the proxy is closed."""
            table = prototype.fresh_copy(proxy.peers_name)
            # Not the driver's own timeout: a quiet time does not end a component.
            for message in proxy.receive(is_continuous=True, timeout=-1, wake_on_peer_change=True):
                if message is not None:
                    table.push(message, auto_trigger=False)
                table.trigger(self, proxy)

        launch.__qualname__ = f"{local_class.__qualname__}.launch"
        launch.__module__ = local_class.__module__
        body = {
            "__doc__": local_class.__doc__,
            "__module__": local_class.__module__,
            "__qualname__": local_class.__qualname__,
            "__slots__": (),  # an instance has a __dict__ exactly if the class gives it one
            "launch": launch,
        }
        return types.new_class(local_class.__name__, (local_class,), exec_body=lambda namespace: namespace.update(body))

    return decorate
