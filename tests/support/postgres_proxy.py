"""A proxy before Postgres that loses the answer to a COMMIT, as a network that fails at the worst moment does."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg2.extensions


@dataclass
class Proxy:
    """Loses the answers to that many COMMITs, one for each connection; then it only passes things on."""

    dsn: str
    lose: int = 0
    lost: int = 0


@contextmanager
def proxy_before(dsn: str) -> Iterator[Proxy]:
    """A proxy before the server of this DSN; TLS must be off."""
    target = psycopg2.extensions.parse_dsn(dsn)
    with socket.create_server(("127.0.0.1", 0)) as server:
        through = {
            "host": "127.0.0.1",
            "port": str(server.getsockname()[1]),
            "sslmode": "disable",
            "gssencmode": "disable",
        }
        proxy = Proxy(dsn=psycopg2.extensions.make_dsn(**{**target, **through}))
        address = target["host"], int(target.get("port", 5432))

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    threading.Thread(target=_pass_on, args=(client, address, proxy), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield proxy
        finally:
            server.shutdown(socket.SHUT_RDWR)


def _pass_on(client: socket.socket, address: tuple[str, int], proxy: Proxy) -> None:
    committing = False
    with client, socket.create_connection(address) as upstream, suppress(OSError):
        while True:
            ready, _, _ = select.select([client, upstream], [], [])
            for one in ready:
                data = one.recv(65_536)
                if not data:
                    return
                if one is client:
                    committing = committing or (proxy.lose > proxy.lost and b"COMMIT\0" in data)
                    upstream.sendall(data)
                elif committing:
                    proxy.lost += 1
                    return
                else:
                    client.sendall(data)
