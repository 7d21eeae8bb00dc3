"""The HTTP API over fakes: health, and what it says of itself."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import jsonschema
import pytest
from support.http_world import World

from domain.errors import TemporaryError
from service.http.app import create_probe_app
from service.http.parts import Check, Probes

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


async def test_a_probe_that_hangs_takes_one_thread_however_often_it_is_asked(
    client: httpx.AsyncClient, world: World
) -> None:
    begun: list[threading.Event] = []

    def hangs() -> str:
        begun.append(threading.Event())
        begun[-1].wait(10)
        raise TemporaryError("nothing listens at h:9092")

    world.checks += [Check(name="kafka", probe=hangs), Check(name="postgres", probe=lambda: "schema 1")]

    async def said() -> list[str]:
        return [one["detail"] for one in (await client.get("/readyz")).json()["dependencies"]]

    assert await asyncio.gather(said(), said()) == [["no answer within 0.2 s", "schema 1"]] * 2
    assert await said() == ["no answer within 0.2 s", "schema 1"]
    assert len(begun) == 1

    waiting = asyncio.create_task(said())
    await asyncio.sleep(0.05)
    begun[0].set()
    assert await waiting == ["nothing listens at h:9092", "schema 1"]
    assert await said() == ["no answer within 0.2 s; before, it was: nothing listens at h:9092", "schema 1"]
    assert len(begun) == 2
    begun[1].set()


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


# --- who may ask, and how many --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"origin": "http://test"}, 202),
        ({"origin": "http://test", "sec-fetch-site": "same-origin"}, 202),
        ({"origin": "https://proxied.example", "sec-fetch-site": "same-origin"}, 202),
        ({"sec-fetch-site": "none"}, 202),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://test:8000"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://test", "sec-fetch-site": "same-site"}, 403),
    ],
)
async def test_a_page_of_another_site_can_change_nothing(
    client: httpx.AsyncClient, world: World, headers: dict[str, str], status: int
) -> None:
    answer = await client.post(
        "/v1/documents", content='{"text": "a"}', headers={"content-type": "text/plain"} | headers
    )
    assert (answer.status_code, len(world.publisher.published)) == (status, 1 if status == 202 else 0)
    assert status == 202 or answer.headers["content-type"] == "application/problem+json"
    assert (await client.get("/v1/alerts", headers=headers)).status_code == 200


async def test_more_requests_than_may_be_under_way_are_told_to_try_again(client: httpx.AsyncClient) -> None:
    begun = asyncio.Semaphore(0)
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        begun.release()
        await go_on.wait()
        yield b'{"text": "a"}'

    under_way = [asyncio.create_task(client.post("/v1/documents", content=slow())) for _ in range(2)]
    for _ in under_way:
        await begun.acquire()
    answer = await client.get("/v1/alerts")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get("/livez")).status_code == 200

    go_on.set()
    assert [one.status_code for one in await asyncio.gather(*under_way)] == [202, 202]
    assert (await client.get("/v1/alerts")).status_code == 200


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
