"""As many requests at once as we can do."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.errors import problem


class Limited:
    """ASGI middleware: while as many requests are under way as may be, others are answered 503. /livez is not one of
    them: who is busy is alive."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == "/livez":
            await self._app(scope, receive, send)
        elif self._under_way >= self._most:
            detail = f"{self._most} requests are under way, and no more are taken at once"
            await problem(503, detail, headers={"Retry-After": "1"})(scope, receive, send)
        else:
            self._under_way += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._under_way -= 1
