"""What is given over HTTP is checked before anything reaches Kafka."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.document import Kind
from domain.errors import TemporaryError
from stream.kafka import KafkaConnection
from stream.publish import KafkaPublisher, Refused

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TOPICS = {Kind.NEWS: "news", Kind.COMMENT: "comments"}


def publisher() -> KafkaPublisher:
    """Of a Kafka that is not there: whatever gets as far is an error of another kind."""
    return KafkaPublisher(KafkaConnection(bootstrap_servers="127.0.0.1:1"), topics=TOPICS, clock=lambda: NOW)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({}, "no_text"),
        ({"text": 5}, "wrong_type"),
        ({"text": "x", "kind": "tweet"}, "bad_kind"),
        ({"text": "x", "kind": ["news"]}, "bad_kind"),
        ({"text": "x" * 100_000}, "field_too_long"),
        ({"text": "\ud800"}, "lone_surrogate"),
        ({"text": "a\x00b"}, "nul_character"),
        ({"text": "x", "published_at": "yesterday"}, "bad_date"),
        ({"text": "x", "published_at": "2026-05-01T12:05:01Z"}, "date_ahead"),
        ({"text": "x", "symbols": [f"S{n}" for n in range(51)]}, "too_many_symbols"),
        ({"text": "x", "ignored": "a" * 1_000_000}, "field_too_long"),
        ({"text": "x", "symbols": ["AAPL"] * 300_000}, "field_too_long"),
    ],
)
def test_each_document_that_is_not_valid_is_named_with_its_reason(item: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as raised:
        publisher().publish([{"text": "good"}, item, {"text": "good too"}])

    [refusal] = raised.value.refusals
    assert (refusal.index, refusal.reason) == (1, reason)


def test_all_that_are_not_valid_are_named_at_once() -> None:
    with pytest.raises(Refused, match="2 of 3 documents are not valid; none was published") as raised:
        publisher().publish(["text", {"text": "good"}, {"text": "x", "kind": "tweet"}])

    assert [(refusal.index, refusal.reason) for refusal in raised.value.refusals] == [
        (0, "not_an_object"),
        (2, "bad_kind"),
    ]


def test_while_kafka_is_away_one_attempt_to_connect_is_made_for_all_and_its_failure_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts: list[threading.Event] = []

    def connect(_: KafkaPublisher) -> None:
        attempts.append(threading.Event())
        attempts[-1].wait(10)
        raise TemporaryError("nothing listens")

    monkeypatch.setattr(KafkaPublisher, "_connect", connect)
    kafka = publisher()

    def outcome() -> tuple[str, float | None]:
        with pytest.raises(TemporaryError) as raised:
            kafka.publish([{"text": "good"}])
        return str(raised.value), raised.value.delay

    with ThreadPoolExecutor() as threads:

        def attempt(number: int) -> Future[tuple[str, float | None]]:
            one = threads.submit(outcome)
            while len(attempts) < number:
                time.sleep(0.001)
            return one

        waiting = [attempt(1), *(threads.submit(outcome) for _ in range(3))]
        attempts[0].set()
        assert [one.result() for one in waiting] == [("nothing listens", 5.0)] * 4
        assert len(attempts) == 1

        monkeypatch.setattr("stream.publish._PAUSE", 0.0)
        # The next attempt is due: one makes it, and nobody waits for it.
        trying = attempt(2)
        assert outcome() == ("nothing listens", 5.0)
        attempts[1].set()
        assert trying.result() == ("nothing listens", 0.0)


def test_a_kafka_that_is_not_there_is_an_error_to_be_tried_again() -> None:
    with pytest.raises(TemporaryError, match="nothing listens"):
        publisher().publish([{"text": "good"}])
