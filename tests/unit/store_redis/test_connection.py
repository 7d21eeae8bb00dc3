"""What a url may be, and that its password never shows."""

from __future__ import annotations

import traceback

import pytest

from domain.errors import PermanentError
from store.redis.connection import Redis


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", "redis://localhost:6379"),
        ("redis://:hunter2@10.0.0.1:6380/2", "redis://10.0.0.1:6380/2"),
        ("rediss://user:hunter2@redis.example.com/0?ssl_cert_reqs=none", "rediss://redis.example.com:6379/0"),
        ("unix://user:hunter2@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_the_address_is_the_url_without_user_and_password(url: str, address: str) -> None:
    redis = Redis(url)

    assert redis.address == address
    assert "hunter2" not in repr(redis)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://user:hunter2@localhost",
        "redis://user:hunter2@localhost:port",
        "redis://user:hunter2@localhost/0?max_connections=hunter2",
        "redis://user:hunter2@localhost?nonsense=hunter2",
        "redis://user:hun[ter2@localhost",
    ],
)
def test_a_url_that_makes_no_sense_is_for_a_person_and_shows_no_secret(url: str) -> None:
    with pytest.raises(PermanentError) as raised:
        Redis(url)

    assert "hunter2" not in "".join(traceback.format_exception(raised.value))
