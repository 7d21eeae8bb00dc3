"""A real HTTP server on loopback that receives webhooks: it records what it gets and answers as it was told to.

with WebhookReceiver() as receiver:
    receiver.answer(Answer(status=503, headers={"retry-after": "2"}), Answer(drop=True))   # then 204 again
    ...
    receiver.wait_for(3)
    assert receiver.requests[0].headers["webhook-id"].startswith("msg_")
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How to answer one request."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    """Seconds before answering."""
    drip: float = 0.0
    """Send the headers byte by byte, with that many seconds between."""
    stall: float = 0.0
    """Seconds between the headers and the body."""
    drop: bool = False
    """Reset the connection instead of answering."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What came in. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: datetime

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def verify(self, secret: str = SECRET) -> None:
        """Check the signature as a receiver should. Raises WebhookVerificationError."""
        Webhook(secret).verify(self.body, dict(self.headers))


class WebhookReceiver:
    """Listens from `with` to its end. Answers 204 unless told otherwise."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.always = Answer()
        """The answer when none is queued."""
        self._answers: deque[Answer] = deque()
        self._came = threading.Condition()
        self._closing = threading.Event()
        self._server = _server_of(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="receiver", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hooks/surge"

    @property
    def webhook_ids(self) -> list[str]:
        """In order of arrival, with repetitions."""
        return [request.webhook_id for request in self.requests]

    def answer(self, *answers: Answer) -> None:
        """Queue answers for the next requests."""
        self._answers.extend(answers)

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Request]:
        """Wait until that many requests have come in. Raises TimeoutError."""
        with self._came:
            if not self._came.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"{len(self.requests)} of {count} requests came within {timeout} s")
            return list(self.requests)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, request: Request) -> Answer:
        """Record a request, and say how to answer it."""
        with self._came:
            self.requests.append(request)
            self._came.notify_all()
            return self._answers.popleft() if self._answers else self.always

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the receiver."""
        self._closing.wait(seconds)


def _server_of(receiver: WebhookReceiver) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(method=self.command, path=self.path, headers=headers, body=body, at=datetime.now(UTC))
            self.close_connection = True
            self._reply(receiver.take(request))

        def _reply(self, answer: Answer) -> None:
            receiver.pause(answer.delay)
            if answer.drop:
                # Lingering for zero seconds makes closing a reset.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            lines = [f"HTTP/1.1 {answer.status} Answer", f"content-length: {len(answer.body)}", "connection: close"]
            lines += [f"{name}: {value}" for name, value in answer.headers.items()]
            head = "\r\n".join((*lines, "", "")).encode()
            try:
                for piece in (bytes([byte]) for byte in head) if answer.drip else (head,):
                    receiver.pause(answer.drip)
                    self.connection.sendall(piece)
                receiver.pause(answer.stall)
                self.connection.sendall(answer.body)
            except OSError:
                pass  # the sender hung up

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the name in the base class

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None: ...

    return Server(("127.0.0.1", 0), Handler)


def wait_until(happened: Any, timeout: float = 10.0) -> None:
    """Poll until `happened()` is true. Raises TimeoutError."""
    end = monotonic() + timeout
    while not happened():
        if monotonic() > end:
            raise TimeoutError(f"it did not happen within {timeout} s")
        threading.Event().wait(0.01)
