"""The risk team's end of the demonstration: a local HTTP server that checks signatures and keeps what it was told."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True, kw_only=True)
class Received:
    """One webhook as it came in."""

    webhook_id: str
    genuine: bool
    """Whether the signature is ours."""
    payload: dict[str, Any]


class LocalReceiver:
    """Listens on a free port of loopback from `with` to its end."""

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self._received: SimpleQueue[Received] = SimpleQueue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._take))
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)

    @property
    def url(self) -> str:
        """Where to POST."""
        return f"http://127.0.0.1:{self._server.server_port}/risk-team"

    def new(self) -> list[Received]:
        """What came in since the last call."""
        found = []
        while True:
            try:
                found.append(self._received.get_nowait())
            except Empty:
                return found

    def _take(self, headers: dict[str, str], body: bytes) -> bool:
        try:
            payload = Webhook(self.secret).verify(body, headers)
            genuine = True
        except WebhookVerificationError:
            payload, genuine = json.loads(body), False
        self._received.put(Received(webhook_id=headers.get("webhook-id", ""), genuine=genuine, payload=payload))
        return genuine

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(take: Any) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            genuine = take({name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(204 if genuine else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """The terminal belongs to the live table."""

    return Handler
