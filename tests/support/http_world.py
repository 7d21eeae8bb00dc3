"""What is behind the HTTP API in its unit tests: fakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from support.builders import T0
from support.fake_corrections import FakeCorrections
from support.fake_store import FakeAlertStore, FakeDocuments
from support.fake_windows import FakeWindows

from domain.document import Document, Kind
from models.folder import Kind as TaskKind
from models.folder import ModelSettings
from service.http.parts import Check
from service.metrics import PrometheusTelemetry
from stream.publish import Refusal, Refused

MODEL = ModelSettings(
    name="tone",
    tasks={
        "sentiment": ("negative", "neutral", "positive"),
        "topic": ("Fed", "Macro"),
        "entity_sentiment": ("negative", "neutral", "positive"),
    },
    kinds={"entity_sentiment": TaskKind.ENTITY},
    languages=("en",),
    normaliser="1",
    window_tokens=16,
)


@dataclass
class FakePublisher:
    """Remembers what was published; refuses texts that are empty."""

    published: list[Mapping[str, Any]] = field(default_factory=list)
    error: Exception | None = None

    def publish(self, items: Sequence[object]) -> Sequence[Document]:
        if self.error:
            raise self.error
        given: list[Mapping[str, Any]] = [item if isinstance(item, Mapping) else {} for item in items]
        if wrong := [index for index, item in enumerate(given) if not item.get("text")]:
            raise Refused([Refusal(index=i, reason="no_text", message="text is missing") for i in wrong], len(items))
        self.published += given
        return [
            Document(
                id=item.get("id", f"derived-{index}"),
                kind=Kind(item.get("kind", "news")),
                text=item["text"],
                published_at=T0,
                received_at=T0,
            )
            for index, item in enumerate(given)
        ]


@dataclass
class World:
    """Everything behind the API."""

    history: FakeDocuments = field(default_factory=FakeDocuments)
    alerts: FakeAlertStore = field(default_factory=FakeAlertStore)
    windows: FakeWindows = field(default_factory=FakeWindows)
    publisher: FakePublisher = field(default_factory=FakePublisher)
    telemetry: PrometheusTelemetry = field(default_factory=PrometheusTelemetry)
    checks: list[Check] = field(default_factory=list)
    model: Callable[[], ModelSettings] = lambda: MODEL

    def __post_init__(self) -> None:
        self.corrections = FakeCorrections(self.history)
