"""Who asks by way of a browser: there is no login, so what reaches us from a page of somebody else is kept out."""

from __future__ import annotations

import ipaddress
from http import HTTPStatus

from fastapi import HTTPException, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.errors import problem

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


async def refuse_foreign_pages(request: Request) -> None:
    """Raise HTTPException (403) when a page that is not ours would change something: a browser sends a form or plain
    text anywhere without asking. Other clients send neither of the headers that tell."""
    if request.method in _SAFE_METHODS:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        ours = site in ("same-origin", "none")
    else:  # older browsers, and all of them on plain HTTP to another machine
        ours = origin is None or origin.partition("://")[2] == request.headers.get("host")
    if not ours:
        raise HTTPException(HTTPStatus.FORBIDDEN, f"a web page of {origin or 'another site'} may not do this")


class OwnNames:
    """ASGI middleware for a server on loopback: answers 421 to who asks for another name than its own. Else a page
    whose name was made to point here (DNS rebinding) could read everything."""

    def __init__(self, app: ASGIApp, *, host: str) -> None:
        """`host`: as it was told to listen on."""
        self._app = app
        self._names = frozenset({*_LOOPBACK_NAMES, host.lower()})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (name := Request(scope).url.hostname) in self._names:
            await self._app(scope, receive, send)
            return
        detail = f"this server listens on loopback and is not called {name}: ask for it as localhost or 127.0.0.1"
        await problem(HTTPStatus.MISDIRECTED_REQUEST, detail)(scope, receive, send)


def is_loopback(address: str) -> bool:
    """Whether nobody on other machines can reach an address (of a socket)."""
    return ipaddress.ip_address(address).is_loopback
