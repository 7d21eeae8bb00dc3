"""Sign: the headers of one attempt, by the Standard Webhooks specification 1.0."""

from __future__ import annotations

import math
from datetime import datetime

from standardwebhooks import Webhook

from alerts.delivery.receiver import Receiver
from domain.alert import Notification


def signed_headers(receiver: Receiver, notification: Notification, at: datetime) -> dict[str, str]:
    """All headers of an attempt made at `at` (wall clock, UTC): `webhook-id` is the same for every attempt,
    `webhook-timestamp` and so `webhook-signature` are this one's."""
    signature = Webhook(receiver.secret).sign(notification.webhook_id, at, notification.payload.decode())
    return {
        "user-agent": "Groundswell",
        **{name.lower(): value for name, value in receiver.headers.items()},
        "content-type": "application/json",
        "webhook-id": notification.webhook_id,
        "webhook-timestamp": str(math.floor(at.timestamp())),
        "webhook-signature": signature,
    }
