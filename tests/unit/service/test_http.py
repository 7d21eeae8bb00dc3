"""The HTTP API over fakes: what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jsonschema
import pytest
from support.builders import T0, at, entity, make_alert, make_change, make_scored, topic
from support.fake_corrections import FakeCorrections
from support.fake_store import FakeAlertStore, FakeDocuments, FakeHistoryReader
from support.fake_windows import FakeWindows

from domain.alert import AlertStatus, Evidence, EvidenceDocument, PublisherCount
from domain.classification import ModelRef, Sentiment, Unscored
from domain.correction import Correction
from domain.document import Document, Kind
from domain.errors import PermanentError, TemporaryError
from domain.timeline import minute_of
from models.folder import Kind as TaskKind
from models.folder import ModelSettings
from service.http.app import create_app, create_probe_app
from service.http.parts import Check, HttpPolicy, Parts, Probes
from service.metrics import PrometheusTelemetry
from stream.publish import Refusal, Refused

ENERGY = topic("Energy | Oil")
MINUTE = minute_of(T0)
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


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    parts = Parts(
        history=FakeHistoryReader(world.history, world.alerts),
        windows=world.windows,
        publisher=world.publisher,
        corrections=world.corrections,
        model=lambda: world.model(),
        telemetry=world.telemetry,
        probes=Probes(checks=world.checks, render_metrics=world.telemetry.render, timeout=0.2),
        clock=lambda: at(60),
        policy=HttpPolicy(max_body_bytes=2000, max_documents=3, max_windows=100),
    )
    transport = httpx.ASGITransport(app=create_app(parts), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


# --- health ----------------------------------------------------------------------------------------------------------


async def test_a_process_that_answers_is_alive(client: httpx.AsyncClient) -> None:
    answer = await client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_it_is_ready_when_every_dependency_is(client: httpx.AsyncClient, world: World) -> None:
    world.checks += [Check(name="kafka", probe=lambda: "4.1"), Check(name="redis", probe=lambda: "9.1")]
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "ready": True,
        "dependencies": [
            {"name": "kafka", "ready": True, "detail": "4.1"},
            {"name": "redis", "ready": True, "detail": "9.1"},
        ],
    }


async def test_a_dependency_that_is_down_is_named_with_its_detail(client: httpx.AsyncClient, world: World) -> None:
    def down() -> str:
        raise TemporaryError("Redis at redis://h:6379 can't be reached: refused")

    def hangs() -> str:
        time.sleep(0.5)
        return "too late"

    world.checks += [Check(name="redis", probe=down), Check(name="postgres", probe=hangs)]
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    redis, postgres = answer.json()["dependencies"]
    assert redis == {"name": "redis", "ready": False, "detail": "Redis at redis://h:6379 can't be reached: refused"}
    assert postgres == {"name": "postgres", "ready": False, "detail": "no answer within 0.2 s"}


async def test_requests_are_measured_by_route_and_never_by_address(client: httpx.AsyncClient) -> None:
    await client.get("/v1/subjects/entity:AAPL/windows")
    await client.get("/nowhere/secret")
    text = (await client.get("/metrics")).text
    assert 'route="/v1/subjects/{subject:path}/windows"' in text
    assert 'groundswell_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert "secret" not in text
    assert "AAPL" not in text


async def test_other_processes_answer_the_probes_and_nothing_else() -> None:
    probes = Probes(checks=[Check(name="kafka", probe=lambda: "4.1")], render_metrics=lambda: b"groundswell_x 1\n")
    transport = httpx.ASGITransport(app=create_probe_app(probes))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        statuses = {
            path: (await client.get(path)).status_code for path in ("/livez", "/readyz", "/metrics", "/v1/alerts")
        }
    assert statuses == {"/livez": 200, "/readyz": 200, "/metrics": 200, "/v1/alerts": 404}


# --- documents in ----------------------------------------------------------------------------------------------------


async def test_one_document_is_accepted(client: httpx.AsyncClient, world: World) -> None:
    answer = await client.post("/v1/documents", json={"text": "Oil falls", "kind": "comment", "id": "a"})
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 1,
        "documents": [{"id": "a", "kind": "comment", "published_at": "2014-01-06T14:00:00Z"}],
    }
    assert world.publisher.published == [{"text": "Oil falls", "kind": "comment", "id": "a"}]


async def test_many_documents_are_accepted_in_their_order(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/documents", json=[{"text": "a", "id": "1"}, {"text": "b", "id": "2"}])
    assert [document["id"] for document in answer.json()["documents"]] == ["1", "2"]


async def test_each_document_that_is_not_valid_is_named_and_none_is_accepted(
    client: httpx.AsyncClient, world: World
) -> None:
    answer = await client.post("/v1/documents", json=[{"text": "a"}, {"text": ""}, {}])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    errors = answer.json()["errors"]
    assert [(error["index"], error["parameter"], error["reason"]) for error in errors] == [
        (1, "[1].text", "no_text"),
        (2, "[2].text", "no_text"),
    ]
    assert world.publisher.published == []


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 422, "must be JSON"),
        (b"\xff\xfe", 422, "must be JSON"),
        (b"", 422, "must be JSON"),
        (b"[" * 1900, 422, "nested too deeply"),
        (b'{"text": "a", "published_at": NaN}', 422, "NaN is no JSON number"),
        (b"[]", 422, "at least one"),
        (b"3", 422, "1 of 1 documents are not valid"),
        (b'[{"text": "a"}, "b"]', 422, "1 of 2 documents are not valid"),
        (b'[{"text":"a"},{"text":"a"},{"text":"a"},{"text":"a"}]', 413, "at most 3 documents"),
        (b'{"text": "' + b"a" * 3000 + b'"}', 413, "at most 2000 bytes"),
    ],
)
async def test_a_body_that_cannot_be_taken_is_refused(
    client: httpx.AsyncClient, body: bytes, status: int, said: str
) -> None:
    answer = await client.post("/v1/documents", content=body)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert said in answer.json()["detail"]


async def test_a_body_without_a_declared_length_is_cut_off_at_the_limit(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"a" * 100
            await asyncio.sleep(0)
        pytest.fail("all of it was read")

    answer = await client.post("/v1/documents", content=endless())
    assert answer.status_code == 413


async def test_when_kafka_does_not_take_it_the_sender_is_told_to_try_again(
    client: httpx.AsyncClient, world: World
) -> None:
    world.publisher.error = TemporaryError("Kafka at h:9092 can't be reached", delay=5)
    answer = await client.post("/v1/documents", json={"text": "a"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["detail"] == "Kafka at h:9092 can't be reached"


async def test_what_a_person_must_mend_is_said(client: httpx.AsyncClient, world: World) -> None:
    world.publisher.error = PermanentError("Kafka at h:9092 refuses the password: check it")
    answer = await client.post("/v1/documents", json={"text": "a"})
    assert (answer.status_code, answer.json()["detail"]) == (500, "Kafka at h:9092 refuses the password: check it")


async def test_a_bug_of_ours_shows_nothing_of_its_inside(client: httpx.AsyncClient, world: World) -> None:
    world.publisher.error = RuntimeError("password=hunter2")
    answer = await client.post("/v1/documents", json={"text": "a"})
    assert answer.status_code == 500
    assert "hunter2" not in answer.text


# --- corrections in and out ------------------------------------------------------------------------------------------


def correction(
    document_id: str, label: str | None, *, task: str = "sentiment", entity: str | None = None, note: str = ""
) -> Correction:
    return Correction(document_id=document_id, task=task, label=label, entity=entity, by="ann", note=note)


async def test_a_correction_is_recorded_and_shown_with_the_text(client: httpx.AsyncClient, world: World) -> None:
    world.history.add(make_scored("a", negative=0.9))
    answer = await client.post("/v1/corrections", json={"id": "a", "label": "neutral", "by": "ann", "note": "irony"})
    said = {"id": "a", "task": "sentiment", "label": "neutral", "entity": None, "by": "ann", "note": "irony"}
    assert answer.status_code == 201
    assert answer.json() == {"recorded": 1, "corrections": [said]}

    [standing] = (await client.get("/v1/corrections")).json()["corrections"]
    recorded_at = datetime.fromisoformat(standing.pop("recorded_at"))
    assert standing == said | {"text": world.history.by_id["a"].scored.document.content}
    assert datetime.now(UTC) - recorded_at < timedelta(minutes=1)


async def test_corrections_that_stand_come_the_newest_first(client: httpx.AsyncClient, world: World) -> None:
    world.history.add(make_scored("a"), make_scored("b"))
    world.corrections.add([correction("a", "negative"), correction("a", "Fed", task="topic")])
    rows = [{"id": "b", "label": "positive", "by": "bob"}, {"id": "a", "label": None, "by": "bob"}]
    assert (await client.post("/v1/corrections", json=rows)).json()["corrections"][1]["label"] is None

    async def shown(**params: str) -> list[tuple[str, str, str]]:
        found = (await client.get("/v1/corrections", params=params)).json()["corrections"]
        return [(one["id"], one["task"], one["label"]) for one in found]

    assert await shown() == [("b", "sentiment", "positive"), ("a", "topic", "Fed")]
    assert await shown(task="topic") == [("a", "topic", "Fed")]
    assert await shown(limit="1") == [("b", "sentiment", "positive")]
    assert await shown(task="mood") == []


async def test_documents_show_what_stands_corrected_of_them(client: httpx.AsyncClient, world: World) -> None:
    world.history.add(make_scored("a", negative=0.9, symbols=["NGB"]), make_scored("b", published_at=at(1)))
    world.corrections.add(
        [
            correction("a", "neutral"),
            correction("a", "Fed", task="topic"),
            correction("a", "positive", task="entity_sentiment", entity="NGB"),
            correction("b", "negative"),
            correction("b", None),
        ]
    )
    b, a = (await client.get("/v1/documents")).json()["documents"]
    assert a["sentiment"]["label"] == "negative"
    assert a["corrected"] == {"sentiment": "neutral", "topic": "Fed"}
    assert a["corrected_entities"] == {"NGB": {"entity_sentiment": "positive"}}
    assert (b["corrected"], b["corrected_entities"]) == ({}, {})


RIGHT = {"id": "a", "label": "negative", "by": "ann"}


@pytest.mark.parametrize(
    ("wrong", "parameter", "said"),
    [
        (RIGHT | {"id": "zzz"}, "[1].id", "no document with this id: give it as GET /v1/documents shows it"),
        (RIGHT | {"id": 3}, "[1].id", "'id' must be a text, got 3"),
        (RIGHT | {"id": "\ud800"}, "[1].id", "half of a surrogate pair: leave it out"),
        (RIGHT | {"label": "bad"}, "[1].label", "sentiment has no label 'bad'; known: negative, neutral, positive"),
        (RIGHT | {"label": True}, "[1].label", "null takes the correction back"),
        ({"id": "a", "by": "ann"}, "[1].label", "'label' is missing"),
        (RIGHT | {"task": "topics"}, "[1].task", "no task 'topics'; did you mean topic?"),
        (RIGHT | {"task": None}, "[1].task", "must be a text"),
        (RIGHT | {"task": "entity_sentiment"}, "[1].entity", "wants the symbol"),
        (RIGHT | {"entity": "NGB"}, "[1].entity", "is about the document, not a symbol"),
        (RIGHT | {"task": "entity_sentiment", "entity": "ngb"}, "[1].entity", "in capitals: NGB, not ngb"),
        (RIGHT | {"by": " "}, "[1].by", "must be a text, got ' ': who says so"),
        ({"id": "a", "label": "negative"}, "[1].by", "'by' is missing: who says so"),
        (RIGHT | {"note": ["x" * 99]}, "[1].note", "must be a text"),
        (RIGHT | {"note": "\0"}, "[1].note", "NUL"),
        (RIGHT | {"lable\ud800": "x"}, "[1]", "did you mean label?"),
        ("negative", "[1]", "not a JSON object, but 'negative'"),
    ],
)
async def test_each_correction_that_is_not_valid_is_named_and_none_is_recorded(
    client: httpx.AsyncClient, world: World, wrong: object, parameter: str, said: str
) -> None:
    world.history.add(make_scored("a"))
    answer = await client.post("/v1/corrections", content=json.dumps([RIGHT, wrong]))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "1 of 2 corrections are not valid; none was recorded"
    [error] = answer.json()["errors"]
    assert (error["parameter"], error["index"]) == (parameter, 1)
    assert said in error["message"]
    assert world.corrections.standing() == []


async def test_all_documents_that_are_unknown_are_named(client: httpx.AsyncClient, world: World) -> None:
    world.history.add(make_scored("a"))
    answer = await client.post("/v1/corrections", json=[RIGHT | {"id": "y"}, RIGHT, RIGHT | {"id": "z"}])
    assert [(error["parameter"], error["reason"]) for error in answer.json()["errors"]] == [
        ("[0].id", "document_unknown"),
        ("[2].id", "document_unknown"),
    ]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 422, "must be JSON"),
        (b'{"id": ' + b"9" * 1000 + b"}", 422, "1 of 1 corrections are not valid"),
        (b'{"id": 1e400}', 422, "1 of 1 corrections are not valid"),
        (b"[]", 422, "the body must hold a correction, or a list of at least one"),
        (b"[1, 2, 3, 4]", 413, "at most 3 corrections at once (http.max_documents)"),
        (b'{"note": "' + b"a" * 3000 + b'"}', 413, "at most 2000 bytes"),
    ],
)
async def test_a_body_that_holds_no_corrections_is_refused(
    client: httpx.AsyncClient, body: bytes, status: int, said: str
) -> None:
    answer = await client.post("/v1/corrections", content=body)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert said in answer.json()["detail"]


async def test_when_it_cannot_be_known_what_the_model_says_nothing_is_recorded(
    client: httpx.AsyncClient, world: World
) -> None:
    def gone() -> ModelSettings:
        raise PermanentError("no model 'tone-3': give a folder that holds a groundswell.json")

    world.history.add(make_scored("a"))
    world.model = gone
    answer = await client.post("/v1/corrections", json=RIGHT)
    assert (answer.status_code, answer.json()["detail"][:18]) == (500, "no model 'tone-3':")
    assert world.corrections.standing() == []


# --- windows ---------------------------------------------------------------------------------------------------------


async def test_windows_cover_the_span_and_an_empty_one_has_no_mean(client: httpx.AsyncClient, world: World) -> None:
    world.windows.put(ENERGY, MINUTE, negative=3, positive=1, publishers=("A", "B"))
    world.windows.watermark_at(at(30))
    answer = await client.get(
        "/v1/subjects/topic:Energy%20%7C%20Oil/windows",
        params={"from": "2014-01-06T14:00:00Z", "to": "2014-01-06T14:30:00Z", "step": "15m"},
    )
    assert answer.status_code == 200
    body = answer.json()
    assert (body["subject"], body["step_seconds"], body["watermark"]) == (str(ENERGY), 900, "2014-01-06T14:30:00Z")
    full, empty = body["windows"]
    assert (full["start"], full["end"]) == ("2014-01-06T14:00:00Z", "2014-01-06T14:15:00Z")
    assert (full["count"], full["negative"], full["negative_share"]) == (4, 3, 0.75)
    assert full["polarity_mean"] < 0
    assert (empty["count"], empty["negative_share"], empty["polarity_mean"], empty["polarity_variance"]) == (
        0,
        None,
        None,
        None,
    )


async def test_without_bounds_the_windows_end_at_the_watermark(client: httpx.AsyncClient, world: World) -> None:
    world.windows.watermark_at(at(30))
    body = (await client.get("/v1/subjects/entity:AAPL/windows?step=6h")).json()
    assert (body["start"], body["end"]) == ("2014-01-05T14:30:00Z", "2014-01-06T14:30:00Z")
    assert len(body["windows"]) == 4


async def test_bounds_are_widened_to_whole_minutes(client: httpx.AsyncClient) -> None:
    params = {"from": "2014-01-06T14:00:30Z", "to": "2014-01-06T14:01:00.000001Z", "step": "1m"}
    body = (await client.get("/v1/subjects/entity:AAPL/windows", params=params)).json()
    assert (body["start"], body["end"]) == ("2014-01-06T14:00:00Z", "2014-01-06T14:02:00Z")


@pytest.mark.parametrize("name", ["A/B", "windows", "a/windows", "100%", "ü|x", "R&D?", "x#y"])
async def test_a_subject_survives_being_url_encoded(client: httpx.AsyncClient, world: World, name: str) -> None:
    from urllib.parse import quote

    world.windows.put(topic(name), MINUTE, negative=1)
    world.windows.watermark_at(at(30))
    answer = await client.get(f"/v1/subjects/{quote('topic:' + name, safe='')}/windows?step=24h")
    assert answer.status_code == 200
    assert (answer.json()["subject"], answer.json()["windows"][0]["count"]) == (f"topic:{name}", 1)


@pytest.mark.parametrize(
    ("path", "parameter", "said"),
    [
        ("/v1/subjects/AAPL/windows", "subject", "must be topic:NAME or entity:SYMBOL"),
        ("/v1/subjects/entity:A/windows?step=soon", "step", "a duration such as"),
        ("/v1/subjects/entity:A/windows?step=30s", "step", "greater than or equal to"),
        ("/v1/subjects/entity:A/windows?from=yesterday", "from", "RFC 3339"),
        ("/v1/subjects/entity:A/windows?from=2014-01-06T14:00:00", "from", "with its offset"),
        ("/v1/subjects/entity:A/windows?to=1388966400", "to", "RFC 3339"),
        ("/v1/subjects/entity:A/windows?step=1000d&to=9999-12-31T23:59:59Z", "to", "from 1970 to 9998"),
        ("/v1/subjects?from=0001-01-01T00:00:00Z", "from", "from 1970 to 9998"),
        ("/v1/subjects/entity:A/windows?until=2014-01-06T14:00:00Z", "until", "is not a parameter of this address"),
        ("/v1/subjects?kind=person", "kind", "'topic' or 'entity'"),
        ("/v1/subjects?limit=0", "limit", "greater than or equal to 1"),
        ("/v1/documents?limit=9999", "limit", "less than or equal to 1000"),
        ("/v1/documents?label=bad", "label", "'negative', 'neutral' or 'positive'"),
        ("/v1/documents?subject=AAPL", "subject", "topic:NAME or entity:SYMBOL"),
        ("/v1/corrections?limit=1001", "limit", "less than or equal to 1000"),
        ("/v1/corrections?task=", "task", "at least 1 character"),
        ("/v1/corrections?entity=A", "entity", "is not a parameter of this address"),
        ("/v1/alerts?status=open", "status", "'pending', 'firing' or 'resolved'"),
        ("/v1/deliveries?fingerprint=x", "fingerprint", "should match pattern"),
    ],
)
async def test_a_wrong_parameter_is_named_with_what_is_allowed(
    client: httpx.AsyncClient, path: str, parameter: str, said: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["parameter"] == parameter
    assert said in error["message"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("step=90s", "step must be whole minutes"),
        ("from=2014-01-06T14:00:00Z&to=2014-01-06T14:00:00Z", "must be before to"),
        ("from=2014-01-06T14:00:00Z&to=2014-01-16T14:00:00Z&step=1m", "ask for 14400 windows; at most 100"),
    ],
)
async def test_parameters_that_do_not_fit_each_other_are_refused(
    client: httpx.AsyncClient, query: str, said: str
) -> None:
    answer = await client.get(f"/v1/subjects/entity:A/windows?{query}")
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


async def test_a_plus_sign_of_an_offset_may_arrive_as_a_space(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/subjects/entity:A/windows?to=2014-01-06T15:00:00+01:00&step=24h")
    assert answer.json()["end"] == "2014-01-06T14:00:00Z"


async def test_while_windows_are_rebuilt_the_caller_is_told_to_wait(client: httpx.AsyncClient, world: World) -> None:
    world.windows.flush()
    answer = await client.get("/v1/subjects/entity:A/windows")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


# --- subjects, documents, alerts -------------------------------------------------------------------------------------


async def test_subjects_come_with_their_sums(client: httpx.AsyncClient, world: World) -> None:
    world.history.add(make_scored("a", negative=0.9, topic="Earnings", symbols=["AAPL"]))
    body = (await client.get("/v1/subjects?kind=entity")).json()
    [subject] = body["subjects"]
    assert (subject["subject"], subject["count"], subject["negative"]) == ("entity:AAPL", 1, 1)
    assert subject["last_minute"] == "2014-01-06T14:00:00Z"


async def test_documents_come_with_their_scores_page_by_page(client: httpx.AsyncClient, world: World) -> None:
    for number in range(3):
        world.history.add(make_scored(f"d{number}", negative=0.9, published_at=at(number)))
    first = (await client.get("/v1/documents?limit=2")).json()
    assert [document["id"] for document in first["documents"]] == ["d2", "d1"]
    second = (await client.get("/v1/documents", params={"limit": 2, "cursor": first["cursor"]})).json()
    assert [document["id"] for document in second["documents"]] == ["d0"]
    assert second["cursor"] is None
    document = second["documents"][0]
    assert document["sentiment"]["label"] == "negative"
    assert document["model"] == {"name": "test-model", "version": "1"}
    assert document["published_at"] == "2014-01-06T14:00:00Z"


async def test_a_document_without_a_score_says_why(client: httpx.AsyncClient, world: World) -> None:
    world.history.add(make_scored("x", unscored=Unscored.LANGUAGE))
    [document] = (await client.get("/v1/documents")).json()["documents"]
    assert (document["sentiment"], document["unscored"], document["subjects"]) == (None, "language_not_supported", [])


async def test_alerts_come_with_their_evidence(client: httpx.AsyncClient, world: World) -> None:
    evidence = Evidence(
        window_start=at(-15),
        window_end=T0,
        count=20,
        negative=12,
        negative_share=0.6,
        negative_publishers=5,
        expected_negative=2.5,
        baseline_minutes=600,
        documents=(
            EvidenceDocument(
                id="d",
                kind=Kind.NEWS,
                published_at=T0,
                publisher=None,
                title=None,
                text="Oil falls",
                url=None,
                sentiment=Sentiment(negative=0.9, neutral=0.1, positive=0.0),
                model=ModelRef(name="m", version="1"),
            ),
        ),
        publishers=(PublisherCount(publisher=None, negative=1),),
    )
    firing = make_alert(ENERGY, status=AlertStatus.FIRING, fired_at=T0)
    pending = make_alert(entity("AAPL"))
    import dataclasses

    changes = [make_change(dataclasses.replace(firing, evidence=evidence)), make_change(pending)]
    world.alerts.save(expected=None, evaluated_through=MINUTE, changes=changes)
    body = (await client.get("/v1/alerts?status=firing&status=resolved")).json()
    [alert] = body["alerts"]
    assert (alert["subject"], alert["status"], alert["ends_at"]) == (str(ENERGY), "firing", None)
    assert alert["evidence"]["documents"][0]["sentiment"]["polarity"] == -0.9
    assert alert["evidence"]["publishers"] == [{"publisher": None, "negative": 1}]
    assert len((await client.get("/v1/alerts")).json()["alerts"]) == 2
    only = (await client.get("/v1/alerts", params={"subject": "entity:AAPL"})).json()
    assert [alert["status"] for alert in only["alerts"]] == ["pending"]


# --- the rest --------------------------------------------------------------------------------------------------------


async def test_what_is_not_there_says_where_to_look(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v2/everything")
    assert answer.status_code == 404
    assert "/docs" in answer.json()["detail"]
    wrong_method = await client.delete("/v1/alerts")
    assert (wrong_method.status_code, wrong_method.json()["status"]) == (405, 405)


async def test_the_page_that_shows_the_api_needs_nobody_else(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    assert "://" not in page
    assert '"validatorUrl": null' in page
    addresses = re.findall(r"""(?:src|href|url)(?:=|: )['"]([^'"]+)['"]""", page)
    assert {address.rpartition("/")[2] for address in addresses} == {
        "favicon.png", "openapi.json", "swagger-ui-bundle.js", "swagger-ui.css",
    }  # fmt: skip
    for address in addresses:
        answer = await client.get(address)
        assert (answer.status_code, bool(answer.content)) == (200, True)
        if address.endswith(".css"):
            assert set(re.findall(r"url\(['\"]?(\w+:)", answer.text)) == {"data:"}


async def test_the_api_describes_itself_with_examples(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    post = schema["paths"]["/v1/documents"]["post"]
    assert "examples" in post["requestBody"]["content"]["application/json"]
    assert {"202", "413", "422", "503"} <= set(post["responses"])
    correct = schema["paths"]["/v1/corrections"]["post"]
    assert {"201", "413", "422", "503"} <= set(correct["responses"])
    body = correct["requestBody"]["content"]["application/json"]
    one, many = (example["value"] for example in body["examples"].values())
    for example in (one, many):
        jsonschema.validate(example, body["schema"])
    names = {parameter["name"] for parameter in schema["paths"]["/v1/subjects/{subject}/windows"]["get"]["parameters"]}
    assert names == {"subject", "from", "to", "step"}
    for path in schema["paths"].values():
        for operation in path.values():
            assert operation["summary"]


def test_symbols_may_be_written_in_small_letters() -> None:
    from pydantic import TypeAdapter

    from service.http.parameters import SubjectText

    read = TypeAdapter(SubjectText).validate_python
    assert read("entity:aapl") == "entity:AAPL"
    assert read("topic:Energy | Oil") == "topic:Energy | Oil"


def test_times_are_rfc_3339_in_utc() -> None:
    from service.http.views import WindowView

    view = WindowView(
        start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=1),
        count=0, negative=0, neutral=0, positive=0,
        negative_share=None, polarity_mean=None, polarity_variance=None,
    )  # fmt: skip
    assert view.model_dump(mode="json")["start"] == "2026-01-01T00:00:00Z"
