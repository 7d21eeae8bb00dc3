"""Fixtures of the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.delivery_world import Clock, notified
from support.fake_store import FakeOutbox
from support.receiver import WebhookReceiver


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as running:
        yield running


@pytest.fixture
def outbox(clock: Clock) -> FakeOutbox:
    return notified(clock)
