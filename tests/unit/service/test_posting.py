"""What is sent over HTTP is judged exactly as the classify stage judges what is on the topics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest
from support.fake_corrections import FakeCorrections
from support.fake_store import FakeAlertStore, FakeDocuments, FakeHistoryReader
from support.fake_windows import FakeWindows

from domain.document import Kind
from domain.errors import InvalidInput
from domain.ports import NoTelemetry
from service.http.app import create_app
from service.http.parts import Parts, Probes
from stream import messages
from stream.kafka import KafkaConnection
from stream.messages import MessagePolicy
from stream.publish import KafkaPublisher

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DIGITS = b"9" * 5000


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Of an API whose Kafka is not there: what is valid is answered 503."""
    publisher = KafkaPublisher(
        KafkaConnection(bootstrap_servers="127.0.0.1:1"),
        topics={Kind.NEWS: "news", Kind.COMMENT: "comments"},
        clock=lambda: NOW,
    )
    documents = FakeDocuments()
    parts = Parts(
        history=FakeHistoryReader(documents, FakeAlertStore()),
        windows=FakeWindows(),
        publisher=publisher,
        corrections=FakeCorrections(documents),
        model=lambda: pytest.fail("nobody corrects anything"),
        telemetry=NoTelemetry(),
        probes=Probes(checks=[], render_metrics=lambda: b""),
        clock=lambda: NOW,
    )
    transport = httpx.ASGITransport(app=create_app(parts), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"text":"x","published_at":1e400}', "published_at"),
        (b'{"text":"x","published_at":-1e400}', "published_at"),
        (b'{"text":"x","published_at":' + DIGITS + b"}", "published_at"),
        (b'{"text":"x","published_at":1e300}', "published_at"),
        (b'{"text":"x","published_at":true}', "published_at"),
        (b'{"text":"x","published_at":{"$date":1}}', "published_at"),
        (b'{"text":"x","id":1e400}', "id"),
        (b'{"text":"x","id":' + DIGITS + b"}", "id"),
        (b'{"text":"x","id":false}', "id"),
        (b'{"text":"x","title":1e400}', "title"),
        (b'{"text":"x","author":-1e400}', "author"),
        (b'{"text":"x","symbols":[1e400]}', "symbols"),
        (b'{"text":"x","symbols":["A",null]}', "symbols"),
        (b'{"text":1e400}', "text"),
        (b'{"text":{"en":"x"}}', "text"),
        (b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"text":"x","published_at":1e400}}', "publi"),
    ],
)
async def test_a_number_or_a_structure_that_no_field_holds_is_refused_as_on_kafka(
    client: httpx.AsyncClient, body: bytes, field: str
) -> None:
    with pytest.raises(InvalidInput) as on_kafka:
        messages.decode(body, (), round(NOW.timestamp() * 1000), Kind.NEWS, MessagePolicy())

    answer = await client.post("/v1/documents", content=body)

    [error] = answer.json()["errors"]
    assert answer.status_code == 422
    assert (error["reason"], error["message"]) == (on_kafka.value.reason, str(on_kafka.value))
    assert field in error["message"]


async def test_what_is_unknown_may_hold_any_number(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/documents", content=b'{"text":"x","likes":1e400,"seen":' + DIGITS + b"}")

    assert (answer.status_code, answer.json()["title"]) == (503, "Service Unavailable")
