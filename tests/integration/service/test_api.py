"""The HTTP API on real servers, put together as `groundswell serve` does it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from support.builders import at, make_batch, make_record
from support.postgres_databases import history_at

from service import connections, readiness, wiring
from service.http.app import create_app
from service.metrics import PrometheusTelemetry
from service.settings import Settings, load
from store.postgres import migrate
from stream.admin import KafkaAdmin
from stream.topics import create_topics, describe_topics

pytestmark = pytest.mark.servers

PATHS = ("subjects", "documents", "corrections", "alerts", "deliveries")


@pytest.fixture
def settings(
    kafka_bootstrap: str, fresh_database: str, fresh_redis: str, unique_topic: Callable[[str], str], tmp_path: Path
) -> Settings:
    overrides = {
        "kafka.bootstrap_servers": kafka_bootstrap,
        "postgres.dsn": fresh_database,
        "redis.url": fresh_redis,
        "data_dir": str(tmp_path),
        **{f"kafka.{name}_topic": unique_topic(name) for name in ("news", "comments", "scored", "dead_letters")},
    }
    return load(environment={}, overrides=overrides).settings


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = application(settings)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def application(settings: Settings) -> FastAPI:
    """As `groundswell serve` makes it."""
    telemetry = PrometheusTelemetry()
    probes = readiness.probes(settings, telemetry.render, ("kafka", "postgres", "redis"))
    return create_app(wiring.api_parts(settings, telemetry, probes))


def prepare(settings: Settings) -> None:
    """Schema and topics."""
    migrate.upgrade(connections.postgres_dsn(settings))
    with KafkaAdmin(connections.kafka(settings)) as admin:
        create_topics(admin, connections.topic_plans(settings))


async def test_it_is_ready_once_schema_and_topics_are_there(client: httpx.AsyncClient, settings: Settings) -> None:
    before = await client.get("/readyz")
    assert before.status_code == 503
    details = {one["name"]: one for one in before.json()["dependencies"]}
    assert "groundswell topics create" in details["kafka"]["detail"]
    assert "groundswell db upgrade" in details["postgres"]["detail"]
    assert details["redis"]["ready"]
    prepare(settings)
    after = await client.get("/readyz")
    assert (after.status_code, after.json()["ready"]) == (200, True)


async def test_posted_documents_are_on_their_topics(client: httpx.AsyncClient, settings: Settings) -> None:
    prepare(settings)
    documents = [
        {"text": "Oil falls $XOM", "source": "Wire", "published_at": "2026-01-31T09:30:00Z"},
        {"text": "I sold all of it", "kind": "comment", "author": "me", "id": "c-1"},
    ]
    answer = await client.post("/v1/documents", json=documents)
    assert answer.status_code == 202
    news, comment = answer.json()["documents"]
    assert (news["kind"], news["published_at"]) == ("news", "2026-01-31T09:30:00Z")
    assert (comment["kind"], comment["id"]) == ("comment", "c-1")
    with KafkaAdmin(connections.kafka(settings)) as admin:
        described = describe_topics(admin, connections.topic_names(settings))
    assert [topic.messages for topic in described] == [1, 1, 0, 0]


async def test_each_field_that_is_wrong_is_named_and_nothing_is_published(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    prepare(settings)
    documents = [
        {"text": "fine"},
        {"txt": "x"},
        {"text": "x", "published_at": "soon"},
        {"text": "x", "published_at": "2999-01-01T00:00:00Z"},
        {"text": "x", "symbols": [f"S{number}" for number in range(51)]},
        {"text": "x", "kind": "rumour"},
        {"text": "x" * 70_000},
        {"text": "x\ud800"},
        {"text": 7},
    ]
    answer = await client.post("/v1/documents", content=json.dumps(documents))
    assert answer.status_code == 422
    errors = {error["index"]: error for error in answer.json()["errors"]}
    assert sorted(errors) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [errors[index]["parameter"] for index in (1, 2, 3, 5)] == [
        "[1].text", "[2].published_at", "[3].published_at", "[5].kind",
    ]  # fmt: skip
    assert "text" in errors[6]["message"]
    with KafkaAdmin(connections.kafka(settings)) as admin:
        assert sum(topic.messages for topic in describe_topics(admin, connections.topic_names(settings))) == 0


async def test_an_empty_history_is_no_error(client: httpx.AsyncClient, settings: Settings) -> None:
    prepare(settings)
    answers = {path: await client.get(f"/v1/{path}") for path in PATHS}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert answers["documents"].json() == {"documents": [], "cursor": None}
    windows = await client.get("/v1/subjects/entity:AAPL/windows")
    assert windows.status_code == 503
    bad = await client.get("/v1/documents?cursor=nonsense")
    assert bad.status_code == 422
    assert "cursor" in bad.json()["detail"]


async def test_what_is_corrected_stands_beside_what_the_model_says(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    prepare(settings)
    with history_at(connections.postgres_dsn(settings)) as history:
        history.append([make_batch([make_record("a", negative=0.9), make_record("b", published_at=at(1))])])
    wrong = await client.post("/v1/corrections", json=[{"id": "a", "label": "worse", "by": "ann"}])
    unknown = await client.post("/v1/corrections", json=[{"id": "zzz", "label": "neutral", "by": "ann"}])
    assert [answer.json()["errors"][0]["parameter"] for answer in (wrong, unknown)] == ["[0].label", "[0].id"]
    rows = [
        {"id": "a", "label": "neutral", "by": "ann", "note": "irony"},
        {"id": "a", "task": "topic", "label": "Macro", "by": "ann"},
        {"id": "b", "label": "negative", "by": "ann"},
        {"id": "b", "label": None, "by": "bob"},
    ]
    answer = await client.post("/v1/corrections", json=rows)
    assert (answer.status_code, answer.json()["recorded"]) == (201, 4)
    documents = (await client.get("/v1/documents")).json()["documents"]
    assert {document["id"]: document["corrected"] for document in documents} == {
        "a": {"sentiment": "neutral", "topic": "Macro"},
        "b": {},
    }
    standing = (await client.get("/v1/corrections?limit=1")).json()["corrections"]
    assert [(one["id"], one["task"], one["label"]) for one in standing] == [("a", "topic", "Macro")]


async def test_a_server_that_is_away_is_a_503_without_secrets(settings: Settings, tmp_path: Path) -> None:
    overrides = {
        "kafka.bootstrap_servers": "127.0.0.1:9",
        "postgres.dsn": "postgresql://me:hunter2@127.0.0.1:9/nowhere",
        "redis.url": "redis://:hunter2@127.0.0.1:9/0",
        "data_dir": str(tmp_path),
    }
    away = load(environment={}, overrides=overrides).settings
    app = application(away)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        ready = await client.get("/readyz")
        answers = [await client.get("/v1/alerts"), await client.get("/v1/subjects/entity:A/windows")]
    assert ready.status_code == 503
    assert not any(one["ready"] for one in ready.json()["dependencies"])
    assert [answer.status_code for answer in answers] == [503, 503]
    assert "hunter2" not in ready.text + answers[0].text + answers[1].text
