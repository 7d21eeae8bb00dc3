"""The HTTP API over fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from support.builders import at
from support.fake_store import FakeHistoryReader
from support.http_world import World

from service.http.app import create_app
from service.http.parts import HttpPolicy, Parts, Probes


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
        policy=HttpPolicy(max_body_bytes=2000, max_documents=3, max_windows=100, max_requests=2),
    )
    transport = httpx.ASGITransport(app=create_app(parts), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
