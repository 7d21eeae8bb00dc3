"""`python -m service.http.alive PORT …`: exit 0 when a process of this container says on one of the ports that it is
alive. For container health checks: images have no curl."""

from __future__ import annotations

import http.client
import sys


def is_alive(port: int, *, timeout: float = 3.0) -> bool:
    """Whether /livez on loopback answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if any(is_alive(int(port)) for port in sys.argv[1:]) else 1)
