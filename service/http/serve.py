"""Runs an application on a port: the API in the main thread, the probes of other processes beside their work."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from service.http.listen import listen
from service.http.origin import OwnNames, is_loopback

_log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 800
"""At once, idle ones too; what comes on others is answered 503, without a word more. The last resort: with the 1024
files that a process may usually open there would be none left to answer with."""


def serve(app: FastAPI, *, host: str, port: int) -> None:
    """Answer requests until SIGTERM or SIGINT; what is under way is finished. Raises PermanentError when the address
    (of the settings `http`) can't be had."""
    with listen(host, port, "http") as listener:
        _log.info("The API answers on http://%s:%d", host, port)
        uvicorn.Server(_config(app, listener, host)).run(sockets=[listener])


@contextmanager
def served(app: FastAPI, *, host: str, port: int) -> Iterator[None]:
    """Answer requests in a thread of its own until the end of the block. Raises PermanentError when the address (of the
    settings `metrics`) can't be had."""
    listener = listen(host, port, "metrics")
    server = uvicorn.Server(_config(app, listener, host))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="probes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        listener.close()


def _config(app: FastAPI, listener: socket.socket, host: str) -> uvicorn.Config:
    return uvicorn.Config(
        OwnNames(app, host=host) if is_loopback(listener.getsockname()[0]) else app,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=10,
    )
