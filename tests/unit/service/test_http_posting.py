"""The HTTP API over fakes: documents and corrections that come in, and what it refuses of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from support.builders import T0, at, make_scored, topic
from support.http_world import World

from domain.correction import Correction
from domain.errors import PermanentError, TemporaryError
from domain.timeline import minute_of
from models.folder import ModelSettings

ENERGY = topic("Energy | Oil")
MINUTE = minute_of(T0)


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
