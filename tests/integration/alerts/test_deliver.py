"""One attempt to deliver: to a real HTTP server on loopback, from an outbox in memory."""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime

import pytest
from support.delivery_world import FIRING, PAYLOAD, Clock, Telemetry, deliverer, desk, outcomes
from support.fake_store import FakeOutbox
from support.receiver import SECRET, Answer, WebhookReceiver

from domain.alert import Outcome


def test_a_notification_arrives_as_it_was_written_with_a_signature_that_verifies(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock
) -> None:
    telemetry = Telemetry()
    (delivery,) = deliverer(outbox, clock, desk(receiver), telemetry=telemetry).deliver_due()
    (request,) = receiver.requests
    request.verify()
    assert (request.method, request.path, request.body) == ("POST", "/hooks/surge", PAYLOAD)
    assert request.headers["content-type"] == "application/json"
    assert request.webhook_id == FIRING
    assert (delivery.outcome, delivery.status_code, delivery.error, delivery.attempt) == (
        Outcome.DELIVERED,
        204,
        None,
        1,
    )
    assert outbox.deliveries == [delivery]
    assert outbox.next_due() is None
    assert telemetry.counted == [("deliveries_total", "desk", "delivered")]


def test_nothing_is_sent_when_nothing_is_due(receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock) -> None:
    delivering = deliverer(outbox, clock, desk(receiver))
    delivering.deliver_due()
    assert delivering.deliver_due() == ()
    assert len(receiver.requests) == 1


def test_a_refusal_is_tried_again_under_the_same_id_with_a_new_timestamp(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock
) -> None:
    receiver.answer(Answer(status=500, body=b"secret stack trace"))
    delivering = deliverer(outbox, clock, desk(receiver))
    (first,) = delivering.deliver_due()
    assert (first.outcome, first.error) == (Outcome.RETRY, "answered 500")
    assert delivering.deliver_due() == ()
    clock.forward(timedelta(seconds=5))
    (second,) = delivering.deliver_due()
    assert (second.outcome, second.attempt) == (Outcome.DELIVERED, 2)
    assert receiver.webhook_ids == [FIRING, FIRING]
    stamps = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    assert stamps[1] - stamps[0] in (5, 6)
    receiver.requests[0].verify()
    receiver.requests[1].verify()


@pytest.mark.parametrize(
    ("status", "header"),
    [(429, "60"), (503, "60"), (503, "date")],
)
def test_retry_after_is_honoured(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock, status: int, header: str
) -> None:
    asked = format_datetime(clock() + timedelta(seconds=60), usegmt=True) if header == "date" else header
    receiver.answer(Answer(status=status, headers={"Retry-After": asked}))
    delivering = deliverer(outbox, clock, desk(receiver))
    delivering.deliver_due()
    clock.forward(timedelta(seconds=55))
    assert delivering.deliver_due() == ()
    clock.forward(timedelta(seconds=6))
    assert [one.outcome for one in delivering.deliver_due()] == [Outcome.DELIVERED]


def test_a_receiver_that_is_gone_is_not_asked_again(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock
) -> None:
    receiver.always = Answer(status=410)
    delivering = deliverer(outbox, clock, desk(receiver))
    (delivery,) = delivering.deliver_due()
    assert (delivery.outcome, delivery.status_code) == (Outcome.FAILED, 410)
    clock.forward(timedelta(days=9))
    assert delivering.deliver_due() == ()


def test_it_is_given_up_when_the_schedule_ends(receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock) -> None:
    receiver.always = Answer(status=500)
    delivering = deliverer(outbox, clock, desk(receiver))
    for _ in range(12):
        delivering.deliver_due()
        clock.forward(timedelta(hours=24))
    assert outcomes(outbox) == [(Outcome.RETRY, 500)] * 9 + [(Outcome.FAILED, 500)]


def test_redirects_are_not_followed(outbox: FakeOutbox, clock: Clock, receiver: WebhookReceiver) -> None:
    with WebhookReceiver() as elsewhere:
        receiver.answer(Answer(status=307, headers={"location": elsewhere.url}))
        (delivery,) = deliverer(outbox, clock, desk(receiver)).deliver_due()
        assert elsewhere.requests == []
    assert (delivery.outcome, delivery.status_code) == (Outcome.RETRY, 307)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(delay=5), "no answer within 1 s"),
        (Answer(drip=0.2), "no answer within 1 s"),
        (Answer(drop=True), "the connection broke"),
        (Answer(status=302, headers={"location": "mailto:ops@example.com"}), "the connection broke: InvalidURL"),
        (Answer(headers={"x": "a" * 200_000}), "the connection broke"),
    ],
    ids=["slow", "dripping", "reset", "a redirect to nowhere", "endless headers"],
)
def test_a_receiver_that_misbehaves_is_tried_again(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock, answer: Answer, error: str
) -> None:
    receiver.answer(answer)
    began = time.monotonic()
    (delivery,) = deliverer(outbox, clock, desk(receiver, timeout=1)).deliver_due()
    assert time.monotonic() - began < 4
    assert (delivery.outcome, delivery.status_code) == (Outcome.RETRY, None)
    assert delivery.error is not None
    assert delivery.error.startswith(error)


@pytest.mark.parametrize(
    "answer", [Answer(status=200, body=b"ok", stall=9), Answer(status=200, body=b"x" * 50_000_000)]
)
def test_an_answer_counts_as_soon_as_its_status_is_in_whatever_becomes_of_its_body(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock, answer: Answer
) -> None:
    receiver.answer(answer)
    began = time.monotonic()
    (delivery,) = deliverer(outbox, clock, desk(receiver)).deliver_due()
    assert (delivery.outcome, delivery.status_code) == (Outcome.DELIVERED, 200)
    assert time.monotonic() - began < 5


def test_nobody_listening_is_said_so(outbox: FakeOutbox, clock: Clock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/services/TOKEN"
        (delivery,) = deliverer(outbox, clock, desk(url)).deliver_due()
    assert delivery.outcome is Outcome.RETRY
    assert delivery.error is not None
    assert delivery.error.startswith("could not connect: ")
    assert "TOKEN" not in delivery.error


def test_a_certificate_that_nobody_vouches_for_is_refused(
    outbox: FakeOutbox, clock: Clock, receiver: WebhookReceiver
) -> None:
    url = receiver.url.replace("http://", "https://")
    (delivery,) = deliverer(outbox, clock, desk(url)).deliver_due()
    assert (delivery.outcome, delivery.status_code) == (Outcome.RETRY, None)
    assert receiver.requests == []


def test_a_receiver_that_is_not_configured_any_more_may_come_back(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock
) -> None:
    (delivery,) = deliverer(outbox, clock, desk(receiver, name="another")).deliver_due()
    assert (delivery.outcome, delivery.error) == (Outcome.RETRY, "no receiver of this name is configured")
    clock.forward(timedelta(seconds=5))
    deliverer(outbox, clock, desk(receiver)).deliver_due()
    assert receiver.webhook_ids == [FIRING]


def test_no_secret_shows_in_rows_or_logs(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="alerts")
    target = replace(desk(receiver.url + "/TOKEN", timeout=1), headers={"authorization": "Bearer TOKEN"})
    delivering = deliverer(outbox, clock, target)
    for answer in (Answer(status=500, body=b"TOKEN"), Answer(drop=True), Answer(delay=3), Answer(status=410)):
        receiver.answer(answer)
        delivering.deliver_due()
        clock.forward(timedelta(hours=1))
    assert len(outbox.deliveries) == 4
    seen = caplog.text + repr(outbox.deliveries) + repr(target)
    assert "TOKEN" not in seen
    assert SECRET[6:] not in seen
