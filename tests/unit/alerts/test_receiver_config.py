"""Who may be a receiver, and that its secrets stay where they are."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from standardwebhooks import Webhook
from support.builders import at
from support.receiver import SECRET

from alerts.delivery.receiver import Receiver
from alerts.delivery.sign import signed_headers
from domain.alert import Notification, Transition


def whsec(size: int) -> str:
    return "whsec_" + base64.b64encode(bytes(range(size))).decode()


def receiver(**fields: object) -> Receiver:
    return Receiver(**{"name": "desk", "url": "https://desk.example/hook", "secret": SECRET, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/", "https://desk.example", "https://[::1]:9/x?key=1", "https://bücher.example/"]
)
def test_http_and_https_addresses_are_taken(url: str) -> None:
    assert receiver(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "desk.example/hook",
        "ftp://desk.example/",
        "file:///etc/passwd",
        "unix:///run/desk.sock",
        "https://",
        "https:///hook",
        "https://user:password@desk.example/",
        "https://desk.example/#part",
        "https://desk.example:99999/",
        "https://desk.example/a b",
        "https://desk.example/\n",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"receiver 'desk': url must be") as caught:
        receiver(url=url)
    assert "password" not in str(caught.value).removesuffix("user, password or fragment")


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_has_24_to_64_bytes(size: int) -> None:
    assert receiver(secret=whsec(size)).secret == whsec(size)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", whsec(23), whsec(65), whsec(32)[6:], "whsec_not base64 !", "whsk_aaaa"]
)
def test_another_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="secret must be whsec_") as caught:
        receiver(secret=secret)
    assert len(secret) < 7 or secret[6:] not in str(caught.value)


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(milliseconds=999), timedelta(minutes=3)])
def test_a_time_out_is_between_a_second_and_two_minutes(timeout: timedelta) -> None:
    with pytest.raises(ValueError, match="timeout must be"):
        receiver(timeout=timeout)


@pytest.mark.parametrize(
    "headers",
    [
        {"Webhook-Id": "msg_1"},
        {"content-length": "3"},
        {"Host": "elsewhere"},
        {"a b": "c"},
        {"": "c"},
        {"x": "a\r\nhost: elsewhere"},
        {"x": "ä"},
    ],
)
def test_headers_that_are_ours_or_could_smuggle_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="receiver 'desk': headers"):
        receiver(headers=headers)


def test_nothing_secret_shows_in_a_receivers_repr() -> None:
    shown = repr(receiver(url="https://hooks.example/services/TOKEN", headers={"authorization": "Bearer TOKEN"}))
    assert "TOKEN" not in shown
    assert SECRET[6:] not in shown


def test_the_signature_is_the_one_of_the_specifications_library_for_the_second_of_the_attempt() -> None:
    notification = Notification(
        webhook_id="msg_1", receiver="desk", transition=Transition.FIRING, payload='{"text":"São Paulo 🛢"}'.encode()
    )
    headers = signed_headers(receiver(), notification, at(0, seconds=59.9))
    assert headers["webhook-id"] == "msg_1"
    assert headers["webhook-timestamp"] == str(int(at(0, seconds=59).timestamp()))
    assert headers["webhook-signature"] == Webhook(SECRET).sign("msg_1", at(0, 59), notification.payload.decode())


def test_extra_headers_are_sent_but_do_not_displace_ours() -> None:
    notification = Notification(webhook_id="msg_1", receiver="desk", transition=Transition.FIRING, payload=b"{}")
    headers = signed_headers(receiver(headers={"Authorization": "Bearer x", "User-Agent": "Desk"}), notification, at(0))
    assert headers["authorization"] == "Bearer x"
    assert headers["user-agent"] == "Desk"
    assert headers["content-type"] == "application/json"
