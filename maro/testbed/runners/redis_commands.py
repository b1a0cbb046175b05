"""Has a Redis carry a command out, and shows the answer as `redis-cli --raw` prints it."""

from __future__ import annotations

from typing import Any

from maro.testbed.runners.runner import RunnerError

_ANSWER_WITHIN_S = 10.0


def redis_command(port: int, arguments: tuple[str, ...]) -> str:
    """The answer of a Redis of this machine, each item of a list on a line of its own.

    What is not there is an empty line.

    Args:
        port: that it listens on.
        arguments: the command and what belongs to it.

    Raises:
        RunnerError: it does not answer within ten seconds, or refuses the command.
    """
    import redis

    connection_class: Any = redis.Connection  # its methods have no types
    connection = connection_class(
        host="127.0.0.1",
        port=port,
        protocol=2,
        socket_timeout=_ANSWER_WITHIN_S,
        socket_connect_timeout=_ANSWER_WITHIN_S,
    )
    shown = " ".join(arguments)
    try:
        connection.connect()
        connection.send_command(*arguments)
        return "\n".join(_lines(connection.read_response()))
    except redis.ResponseError as error:
        raise RunnerError(f"Redis refuses `{shown}`: {error}") from error
    except redis.RedisError as error:
        raise RunnerError(f"Redis on port {port} does not answer `{shown}`: {error}") from error
    finally:
        connection.disconnect()


def _lines(answer: Any) -> list[str]:
    if isinstance(answer, list | tuple):
        return [line for item in answer for line in _lines(item)]
    if isinstance(answer, bytes):
        return [answer.decode(errors="replace")]
    return ["" if answer is None else str(answer)]
