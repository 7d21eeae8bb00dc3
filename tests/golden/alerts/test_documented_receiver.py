"""The receiver that docs/alerts.md shows does what it says there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError
from support.receiver import SECRET

from alerts.delivery.receiver import Receiver
from alerts.delivery.sign import signed_headers
from domain.alert import Notification, Transition

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "alerts.md"
PAYLOAD = (HERE / "firing.json").read_bytes()


@pytest.fixture
def documented() -> dict[str, Any]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def headers(at: datetime) -> dict[str, str]:
    receiver = Receiver(name="desk", url="https://desk.example/", secret=SECRET)
    notification = Notification(webhook_id="msg_1", receiver="desk", transition=Transition.FIRING, payload=PAYLOAD)
    return signed_headers(receiver, notification, at)


def test_it_takes_a_webhook_once(documented: dict[str, Any]) -> None:
    sent = headers(datetime.now(UTC))
    assert documented["receive"](SECRET, sent, PAYLOAD)["type"] == "alert.firing"
    assert documented["receive"](SECRET, headers(datetime.now(UTC)), PAYLOAD) is None


def test_it_refuses_what_was_changed_or_is_old(documented: dict[str, Any]) -> None:
    with pytest.raises(WebhookVerificationError):
        documented["receive"](SECRET, headers(datetime.now(UTC)), PAYLOAD.replace(b"24", b"25"))
    with pytest.raises(WebhookVerificationError):
        documented["receive"](SECRET, headers(datetime(2014, 1, 6, tzinfo=UTC)), PAYLOAD)
