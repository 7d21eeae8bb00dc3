"""Gauges that are sampled beside the work."""

from __future__ import annotations

import time

import pytest
from support.builders import make_alert, make_change
from support.fake_store import FakeAlertStore

from domain.alert import Transition
from domain.errors import TemporaryError
from service.metrics import PrometheusTelemetry
from service.sampler import sample_outbox, sampled


def test_a_sample_that_fails_does_not_end_the_sampling() -> None:
    taken: list[int] = []

    def sample() -> None:
        taken.append(len(taken))
        if len(taken) == 1:
            raise TemporaryError("down")

    with sampled(sample, every=0.01):
        deadline = time.monotonic() + 10
        while len(taken) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(taken) >= 3


def test_a_block_that_raises_ends_the_sampling() -> None:
    taken: list[None] = []
    with pytest.raises(RuntimeError), sampled(lambda: taken.append(None), every=0.01):
        raise RuntimeError
    time.sleep(0.05)
    settled = len(taken)
    time.sleep(0.05)
    assert len(taken) == settled


def test_notifications_that_wait_are_counted() -> None:
    store, telemetry = FakeAlertStore(), PrometheusTelemetry()
    change = make_change(make_alert(), Transition.FIRING, receivers=["desk", "phone"])
    store.save(expected=None, evaluated_through=1, changes=[change])
    sample_outbox(store.outbox, telemetry)
    assert "groundswell_outbox_pending 2.0" in telemetry.render().decode()
