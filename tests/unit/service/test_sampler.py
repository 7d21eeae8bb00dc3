"""Gauges that are sampled beside the work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import uuid4

import pytest
from support.builders import make_alert, make_change
from support.fake_store import FakeAlertStore

from domain.alert import Transition
from domain.errors import TemporaryError
from service.metrics import PrometheusTelemetry
from service.sampler import Reads, lag_sample, outbox_sample, sampled
from stream.admin import KafkaAdmin
from stream.kafka import KafkaConnection
from stream.topics import GroupLag, TopicDescription


def test_a_sample_that_fails_does_not_end_the_sampling() -> None:
    taken: list[int] = []

    def sample() -> None:
        taken.append(len(taken))
        if len(taken) == 1:
            raise TemporaryError("down")

    others: list[None] = []
    with sampled(sample, lambda: others.append(None), every=0.01):
        deadline = time.monotonic() + 10
        while len(taken) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(taken) >= 3
    assert len(others) >= 2


def test_a_block_that_raises_ends_the_sampling() -> None:
    taken: list[None] = []
    with pytest.raises(RuntimeError), sampled(lambda: taken.append(None), every=0.01):
        raise RuntimeError
    time.sleep(0.05)
    settled = len(taken)
    time.sleep(0.05)
    assert len(taken) == settled


def test_notifications_that_wait_are_counted_and_unknown_while_they_can_t_be(monkeypatch: pytest.MonkeyPatch) -> None:
    store, telemetry = FakeAlertStore(), PrometheusTelemetry()
    change = make_change(make_alert(), Transition.FIRING, receivers=["desk", "phone"])
    store.save(expected=None, evaluated_through=1, changes=[change])
    sample = outbox_sample(store.outbox, telemetry)
    sample()
    assert "groundswell_outbox_pending 2.0" in telemetry.render().decode()

    monkeypatch.setattr(store.outbox, "waiting", _down)
    with pytest.raises(TemporaryError):
        sample()
    assert "groundswell_outbox_pending NaN" in telemetry.render().decode()


def test_the_lag_of_each_stage_is_measured_and_never_shown_when_it_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lags = {("news", "g-classify"): 7, ("scored", "g-record"): 0}

    def describe(admin: object, topics: Sequence[str], groups: Sequence[str]) -> list[TopicDescription]:
        return [_described(topic, group, lags[topic, group]) for topic in topics for group in groups]

    monkeypatch.setattr("stream.topics.describe_topics", describe)
    telemetry = PrometheusTelemetry()
    stages = {"classify": Reads("g-classify", ["news"]), "record": Reads("g-record", ["scored"])}
    sample = lag_sample(KafkaAdmin(KafkaConnection(bootstrap_servers="nowhere:1")), stages, telemetry)

    sample()
    assert shown(telemetry, "classify", "news") == "7.0"
    assert shown(telemetry, "record", "scored") == "0.0"

    del lags["scored", "g-record"]
    with pytest.raises(KeyError):
        sample()
    assert shown(telemetry, "classify", "news") == "7.0"
    assert shown(telemetry, "record", "scored") == "NaN"


def shown(telemetry: PrometheusTelemetry, stage: str, topic: str) -> str:
    series = f'groundswell_lag_messages{{partition="0",stage="{stage}",topic="{topic}"}} '
    [value] = [
        line.removeprefix(series) for line in telemetry.render().decode().splitlines() if line.startswith(series)
    ]
    return value


def _described(topic: str, group: str, lag: int) -> TopicDescription:
    lags = (GroupLag(group=group, number=0, committed=1, lag=lag),)
    return TopicDescription(name=topic, topic_id=uuid4(), lags=lags)


def _down() -> int:
    raise TemporaryError("Postgres is down")
