"""Runs an application on a port: the API in the main thread, the probes of other processes beside their work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from service.http.listen import listen

_log = logging.getLogger(__name__)

_MOST_REQUESTS = 200
"""At once; more are answered 503."""


def serve(app: FastAPI, *, host: str, port: int) -> None:
    """Answer requests until SIGTERM or SIGINT; what is under way is finished. Raises PermanentError when the address
    (of the settings `http`) can't be had."""
    with listen(host, port, "http") as listener:
        _log.info("The API answers on http://%s:%d", host, port)
        uvicorn.Server(_config(app)).run(sockets=[listener])


@contextmanager
def served(app: FastAPI, *, host: str, port: int) -> Iterator[None]:
    """Answer requests in a thread of its own until the end of the block. Raises PermanentError when the address (of the
    settings `metrics`) can't be had."""
    listener = listen(host, port, "metrics")
    server = uvicorn.Server(_config(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="probes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        listener.close()


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_REQUESTS,
        timeout_graceful_shutdown=10,
    )
