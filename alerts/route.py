"""Who is told of a transition: one notification for each receiver that the rule names."""

from __future__ import annotations

from collections.abc import Iterable

from alerts.payload import render
from domain.alert import Alert, Notification, Transition, webhook_id


def route(alert: Alert, transition: Transition, receivers: Iterable[str]) -> tuple[Notification, ...]:
    """The notifications of a transition. They share one webhook id: each receiver sees it as its own."""
    payload = render(alert, transition)
    identity = webhook_id(alert, transition)
    return tuple(
        Notification(webhook_id=identity, receiver=receiver, transition=transition, payload=payload)
        for receiver in receivers
    )
