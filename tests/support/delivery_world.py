"""What it takes to deliver notifications: an outbox with some, a clock, a receiver, deliverers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from support.builders import make_alert, make_change
from support.fake_store import FakeAlertStore, FakeOutbox
from support.receiver import SECRET, WebhookReceiver

from alerts.delivery.deliver import Deliverer
from alerts.delivery.receiver import Receiver
from domain.alert import Outcome, Transition, webhook_id
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
