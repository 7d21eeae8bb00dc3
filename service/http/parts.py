"""What the API is put together from; `service/wiring.py` fills it in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Protocol, cast

from fastapi import Depends, Request

from domain.document import Document
from domain.ports import Corrections, HistoryReader, Telemetry, WindowReader
from models.folder import ModelSettings


class Publisher(Protocol):
    """Puts documents on Kafka after the same validation as the classify stage's. Blocking."""

    def publish(self, items: Sequence[object]) -> Sequence[Document]:
        """Items are mappings: the fields of a message on the source topics, and `kind`. Returns them as they will be
        read, in order, once Kafka has acknowledged all of them.

        Raises stream.publish.Refused, publishing none, when any is not valid; TemporaryError when Kafka does not take
        them.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Check:
    """One dependency of this process. `probe` is blocking: it returns what is there, in one line without secrets, or
    raises GroundswellError."""

    name: str
    probe: Callable[[], str]


@dataclass(frozen=True, kw_only=True)
class Probes:
    """What operators and orchestrators look at: of every process, not only of the API's."""

    checks: Sequence[Check]
    render_metrics: Callable[[], bytes]
    timeout: float = 5.0
    """Seconds after which a dependency that does not answer counts as not ready."""


@dataclass(frozen=True, kw_only=True)
class HttpPolicy:
    """Limits of the API."""

    max_body_bytes: int = 4_194_304
    max_documents: int = 1000
    """In one request; as many corrections."""
    max_windows: int = 10_000
    max_requests: int = 200
    """Under way at once."""
    lateness: timedelta = timedelta(minutes=5)
    """What the watermark is computed with."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that the routes use."""

    history: HistoryReader
    windows: WindowReader
    publisher: Publisher
    corrections: Corrections
    model: Callable[[], ModelSettings]
    """What the model in force answers now: what can be corrected. Blocking; raises PermanentError when its folder can't
    be read here."""
    telemetry: Telemetry
    probes: Probes
    clock: Callable[[], datetime]
    policy: HttpPolicy = field(default_factory=HttpPolicy)


def _parts_of(request: Request) -> Parts:
    return cast("Parts", request.app.state.parts)


GivenParts = Annotated[Parts, Depends(_parts_of)]
"""How a route asks for them."""
