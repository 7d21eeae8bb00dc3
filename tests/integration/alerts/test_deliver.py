"""Delivery to a real HTTP server on loopback, from an outbox in memory."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from support.builders import make_alert, make_change
from support.fake_store import FakeAlertStore, FakeOutbox
from support.receiver import SECRET, Answer, WebhookReceiver, wait_until

from alerts.delivery.deliver import Deliverer, DeliveryPolicy
from alerts.delivery.receiver import Receiver
from alerts.delivery.schedule import Schedule
from domain.alert import Claimed, Delivery, Notification, Outcome, Transition, webhook_id
from domain.errors import TemporaryError
from domain.ports import NoTelemetry

FIRING = webhook_id(make_alert(), Transition.FIRING)
PAYLOAD = '{"type":"alert.firing","text":"São Paulo"}'.encode()


class Clock:
    """A wall clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def forward(self, by: timedelta) -> None:
        self.ahead += by


class Telemetry(NoTelemetry):
    def __init__(self) -> None:
        self.counted: list[tuple[str, ...]] = []

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.counted.append((name, *labels.values()))


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


def notified(clock: Clock, *, alerts: int = 1, receivers: tuple[str, ...] = ("desk",)) -> FakeOutbox:
    """An outbox with notifications that so many alerts fire."""
    store = FakeAlertStore(clock=clock)
    store.save(
        expected=None,
        evaluated_through=1,
        changes=[
            make_change(make_alert(rule=name), Transition.FIRING, receivers=receivers, payload=PAYLOAD)
            for name in ["surge", *(f"surge-{number}" for number in range(1, alerts))]
        ],
    )
    return store.outbox


def desk(receiver: WebhookReceiver | str, *, name: str = "desk", timeout: float = 5.0) -> Receiver:
    url = receiver if isinstance(receiver, str) else receiver.url
    return Receiver(name=name, url=url, secret=SECRET, timeout=timedelta(seconds=timeout))


def deliverer(outbox: FakeOutbox, clock: Clock, *receivers: Receiver, **fields: object) -> Deliverer:
    return Deliverer(receivers, outbox=outbox, clock=clock, chance=lambda: 0.0, **fields)  # type: ignore[arg-type]


@contextmanager
def running(*deliverers: Deliverer) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in deliverers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in threads)


def outcomes(outbox: FakeOutbox) -> list[tuple[Outcome, int | None]]:
    return [(one.outcome, one.status_code) for one in outbox.deliveries]


# --- one attempt ---


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
        (Answer(headers={"x": "a" * 200_000}), "the connection broke"),
    ],
    ids=["slow", "dripping", "reset", "endless headers"],
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


# --- crashes, leases, and others ---


class Crash(BaseException):
    """The process ends here."""


class CrashingOutbox:
    """An outbox whose process dies between sending and settling."""

    def __init__(self, inner: FakeOutbox) -> None:
        self.inner = inner
        self.claim = inner.claim
        self.next_due = inner.next_due

    def settle(self, claimed: Claimed, delivery: Delivery, *, next_attempt_at: datetime | None) -> bool:
        raise Crash


def test_after_a_crash_between_sending_and_settling_it_is_sent_again_under_the_same_id(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock
) -> None:
    dying = Deliverer([desk(receiver)], outbox=CrashingOutbox(outbox), clock=clock)
    with pytest.raises(Crash):
        dying.deliver_due()
    survivor = deliverer(outbox, clock, desk(receiver))
    assert survivor.deliver_due() == (), "the lease still runs"
    clock.forward(timedelta(seconds=36))
    assert [one.outcome for one in survivor.deliver_due()] == [Outcome.DELIVERED]
    assert receiver.webhook_ids == [FIRING, FIRING]
    assert receiver.requests[0].body == receiver.requests[1].body


def test_a_lease_outlasts_the_longest_attempt(outbox: FakeOutbox, clock: Clock) -> None:
    receivers = [desk("http://127.0.0.1:9/", timeout=1), desk("http://127.0.0.1:9/", name="slow", timeout=20)]
    claiming = CrashingOutbox(outbox)
    with pytest.raises(Crash):
        Deliverer(receivers, outbox=claiming, clock=clock).deliver_due()
    due = outbox.next_due()
    assert due is not None
    assert timedelta(seconds=49) < due - clock() < timedelta(seconds=51)


def test_of_two_deliverers_with_the_same_notification_only_the_one_with_the_lease_settles(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock
) -> None:
    """The first is frozen while it sends; the second takes over; the first wakes up."""
    receiver.answer(Answer(delay=0.5, status=500))
    settled: list[bool] = []

    class Noting(FakeOutbox):
        def __init__(self) -> None:
            self.__dict__.update(outbox.__dict__)

        def settle(self, claimed: Claimed, delivery: Delivery, *, next_attempt_at: datetime | None) -> bool:
            settled.append(super().settle(claimed, delivery, next_attempt_at=next_attempt_at))
            return settled[-1]

    shared = Noting()
    frozen = deliverer(shared, clock, desk(receiver))
    thread = threading.Thread(target=frozen.deliver_due)
    thread.start()
    receiver.wait_for(1)
    clock.forward(timedelta(minutes=5))
    deliverer(shared, clock, desk(receiver)).deliver_due()
    thread.join(5)
    assert settled == [True, False]
    assert shared.next_due() is None, "it is delivered, whatever the first one says"
    assert len(shared.deliveries) == 2


def test_an_outbox_that_is_down_while_an_attempt_is_to_be_settled_is_waited_for(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock
) -> None:
    settle, failures = outbox.settle, 1

    def unsteady(claimed: Claimed, delivery: Delivery, *, next_attempt_at: datetime | None) -> bool:
        nonlocal failures
        if failures:
            failures -= 1
            raise TemporaryError("the server went away")
        return settle(claimed, delivery, next_attempt_at=next_attempt_at)

    outbox.settle = unsteady  # type: ignore[method-assign]
    deliverer(outbox, clock, desk(receiver)).deliver_due()
    assert outcomes(outbox) == [(Outcome.DELIVERED, 204)]
    assert len(receiver.requests) == 1


# --- run ---

QUICK = DeliveryPolicy(poll=timedelta(milliseconds=20), concurrency=4)


def test_it_runs_until_it_is_told_to_stop(receiver: WebhookReceiver, clock: Clock) -> None:
    outbox = notified(clock, alerts=20)
    with running(deliverer(outbox, clock, desk(receiver), policy=QUICK)):
        receiver.wait_for(20)
        wait_until(lambda: outbox.next_due() is None)
        outbox.put(
            Notification(webhook_id="msg_later", receiver="desk", transition=Transition.FIRING, payload=b"{}"),
            ("fingerprint", clock()),
            clock(),
        )
        receiver.wait_for(21)
    assert len(set(receiver.webhook_ids)) == 21


def test_several_deliverers_share_an_outbox_and_send_each_notification_once(
    receiver: WebhookReceiver, clock: Clock
) -> None:
    outbox = notified(clock, alerts=40)
    with running(*(deliverer(outbox, clock, desk(receiver), policy=QUICK) for _ in range(3))):
        receiver.wait_for(40)
        wait_until(lambda: outbox.next_due() is None)
    assert sorted(receiver.webhook_ids) == sorted({one for one, _ in outbox.pending})
    assert outcomes(outbox) == [(Outcome.DELIVERED, 204)] * 40


def test_attempts_run_side_by_side_but_never_more_than_allowed(receiver: WebhookReceiver, clock: Clock) -> None:
    receiver.always = Answer(delay=1.0)
    outbox = notified(clock, alerts=8)
    with running(deliverer(outbox, clock, desk(receiver, timeout=9), policy=QUICK)):
        first = receiver.wait_for(4)[0].at
        wait_until(lambda: len(receiver.requests) == 8)
        wait_until(lambda: outbox.next_due() is None)
    waited = [request.at - first for request in receiver.requests]
    assert max(waited[:4]) < timedelta(seconds=1), "four at a time"
    assert min(waited[4:]) >= timedelta(seconds=1), "and no more"


def test_a_receiver_hears_first_that_an_alert_fires_even_when_it_refuses_that_at_first(
    receiver: WebhookReceiver, clock: Clock
) -> None:
    receiver.answer(Answer(status=500, delay=0.2))
    store = FakeAlertStore(clock=clock)
    changes = [make_change(make_alert(), transition, receivers=("desk",)) for transition in Transition]
    store.save(expected=None, evaluated_through=1, changes=changes)
    schedule = Schedule(delays=(timedelta(milliseconds=300),))
    with running(deliverer(store.outbox, clock, desk(receiver), policy=replace(QUICK, schedule=schedule))):
        receiver.wait_for(3)
        wait_until(lambda: store.outbox.next_due() is None)
    firing, resolved = (webhook_id(make_alert(), transition) for transition in Transition)
    assert receiver.webhook_ids == [firing, firing, resolved]


def test_a_receiver_that_is_slow_does_not_hold_up_another(receiver: WebhookReceiver, clock: Clock) -> None:
    receiver.always = Answer(delay=9)
    outbox = notified(clock, alerts=2, receivers=("desk", "pager"))
    with WebhookReceiver() as pager:
        receivers = [desk(receiver, timeout=3), desk(pager, name="pager")]
        began = time.monotonic()
        with running(deliverer(outbox, clock, *receivers, policy=QUICK)):
            pager.wait_for(2)
            wait_until(lambda: len(outbox.deliveries) == 2)
            assert time.monotonic() - began < 3


def test_attempts_under_way_are_ended_and_settled_when_it_is_told_to_stop(
    receiver: WebhookReceiver, clock: Clock, outbox: FakeOutbox
) -> None:
    receiver.always = Answer(delay=0.3)
    with running(deliverer(outbox, clock, desk(receiver), policy=QUICK)):
        receiver.wait_for(1)
    assert outcomes(outbox) == [(Outcome.DELIVERED, 204)]


def test_it_waits_for_an_outbox_that_is_down(
    receiver: WebhookReceiver, clock: Clock, outbox: FakeOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    claim, failures = outbox.claim, 2

    def unsteady(*, now: datetime, lease: timedelta, limit: int) -> object:
        nonlocal failures
        if failures:
            failures -= 1
            raise TemporaryError("no connection")
        return claim(now=now, lease=lease, limit=limit)

    outbox.claim = unsteady  # type: ignore[method-assign, assignment]
    with running(deliverer(outbox, clock, desk(receiver), policy=QUICK)):
        receiver.wait_for(1)
    assert caplog.text.count("no connection") == 2


def test_what_is_due_again_soon_is_sent_again_without_being_asked(
    receiver: WebhookReceiver, clock: Clock, outbox: FakeOutbox
) -> None:
    receiver.answer(Answer(status=500), Answer(drop=True))
    schedule = Schedule(delays=(timedelta(milliseconds=100),) * 3)
    with running(deliverer(outbox, clock, desk(receiver), policy=replace(QUICK, schedule=schedule))):
        receiver.wait_for(3)
        wait_until(lambda: outbox.next_due() is None)
    assert outcomes(outbox) == [(Outcome.RETRY, 500), (Outcome.RETRY, None), (Outcome.DELIVERED, 204)]
    assert set(receiver.webhook_ids) == {FIRING}
