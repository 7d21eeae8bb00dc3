"""The address that a process answers on."""

from __future__ import annotations

import errno
import socket
from typing import Literal

from domain.errors import PermanentError

_BACKLOG = 1024

Section = Literal["http", "metrics"]
"""The settings that an address stands in."""


def listen(host: str, port: int, section: Section) -> socket.socket:
    """A socket that listens there, not inherited by children. Raises PermanentError that names the setting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PermanentError(_why(host, port, section, error)) from error
    listener.set_inheritable(False)
    return listener


def check_free(host: str, port: int, section: Section) -> None:
    """Raise PermanentError, as `listen`, when nobody could listen there now."""
    listen(host, port, section).close()


def _why(host: str, port: int, section: Section, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{section}.port {port} is taken on {host}: end the process that listens there, or set another "
            f"{section}.port (GROUNDSWELL_{section.upper()}_PORT)"
        )
    return (
        f"can't listen on {section}.host {host}, {section}.port {port}: {error.strerror or error}: give an address of "
        "this machine, and a port that its user may have"
    )
