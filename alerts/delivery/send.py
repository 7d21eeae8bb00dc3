"""Send: one POST, and what came of it. Never raises for what a receiver or the network does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import httpx

from alerts.delivery.receiver import Receiver
from domain.errors import PermanentError

MOST_BODY = 16 * 1024
"""Bytes of an answer that are read before hanging up: only its status is of interest."""

_BODY_SECONDS = 1.0

_MOST_ERROR = 200


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one attempt: a status, or a line about why there is none."""

    status: int | None = None
    error: str | None = None
    retry_after: str | None = None
    """The `Retry-After` header as it came."""
    duration: float = 0.0
    """Seconds."""

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it: any 2xx."""
        return self.status is not None and 200 <= self.status < 300


def open_client(receiver: Receiver) -> httpx.AsyncClient:
    """A client for one receiver: TLS is verified, redirects are not followed (where they lead was not configured),
    and the environment's proxies and certificates are not consulted. Raises PermanentError when its `ca_file` is no
    use."""
    verify: ssl.SSLContext | bool = True
    if receiver.ca_file is not None:
        try:
            verify = ssl.create_default_context(cafile=receiver.ca_file)
        except OSError as error:
            raise PermanentError(f"receiver {receiver.name!r}: ca_file {receiver.ca_file}: {error}") from error
    return httpx.AsyncClient(
        verify=verify, follow_redirects=False, trust_env=False, timeout=receiver.timeout.total_seconds()
    )


async def send(client: httpx.AsyncClient, receiver: Receiver, headers: Mapping[str, str], body: bytes) -> Answer:
    """POST `body`. The receiver's time-out is for all of it: httpx's own are for each read, and a receiver that drips
    byte after byte would outlive its lease."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    seconds = receiver.timeout.total_seconds()
    try:
        request = client.build_request("POST", receiver.url, headers=dict(headers), content=body)
        async with asyncio.timeout(seconds):
            response = await client.send(request, stream=True)
    except (TimeoutError, httpx.TimeoutException):
        return Answer(error=f"no answer within {seconds:g} s", duration=loop.time() - began)
    except httpx.ConnectError as error:
        return Answer(error=_line(f"could not connect: {error}"), duration=loop.time() - began)
    except Exception as error:  # a library's own types too (httpx.InvalidURL of a redirect that is none)
        # Their text may quote what was sent.
        return Answer(error=f"the connection broke: {type(error).__name__}", duration=loop.time() - began)
    duration = loop.time() - began
    with suppress(Exception):  # its status is what counts
        async with asyncio.timeout(_BODY_SECONDS):
            await _read_politely(response)
    status = response.status_code
    return Answer(
        status=status,
        error=None if 200 <= status < 300 else f"answered {status}",
        retry_after=response.headers.get("retry-after"),
        duration=duration,
    )


async def _read_politely(response: httpx.Response) -> None:
    """Read a little of the body: some servers take it for a failure when nobody listens to a word of it."""
    try:
        read = 0
        async for chunk in response.aiter_raw():
            read += len(chunk)
            if read >= MOST_BODY:
                return
    finally:
        await response.aclose()


def _line(text: str) -> str:
    return " ".join(text.split())[:_MOST_ERROR]
