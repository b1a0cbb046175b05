"""The embedded Redis as a process: `python -m maro.testbed.embedded_redis --port 6400`."""

from __future__ import annotations

import signal
import sys
import threading

import click


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="Port to listen on.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
def main(port: int, host: str) -> None:
    """Run fakeredis' TCP server until a signal ends it."""
    try:
        from fakeredis import TcpFakeServer
    except ImportError:
        raise click.ClickException("the embedded Redis is not installed: pip install 'maro[embedded]'") from None
    try:
        server = TcpFakeServer((host, port), server_type="redis")
    except OSError as error:
        raise click.ClickException(f"port {port} of {host} can't be used: {error}") from error
    server.daemon_threads = True
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    server.serve_forever()
    # Threads that wait for their clients must not keep the process.
    sys.stdout.flush()
    server.socket.close()


if __name__ == "__main__":
    main()
