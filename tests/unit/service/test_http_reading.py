"""The HTTP API over fakes: what it shows of windows, subjects, documents and alerts."""

from __future__ import annotations

import httpx
import pytest
from support.builders import T0, at, entity, make_alert, make_change, make_scored, topic
from support.http_world import World

from domain.alert import AlertStatus, Evidence, EvidenceDocument, PublisherCount
from domain.classification import ModelRef, Sentiment, Unscored
from domain.document import Kind
from domain.timeline import minute_of

ENERGY = topic("Energy | Oil")
MINUTE = minute_of(T0)


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
