"""What a missing server means for a test: skipped on a desk, a failure in CI."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.servers import KAFKA_BOOTSTRAP_SERVERS, address_from, started, unavailable


def test_a_missing_server_skips_on_a_desk_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no broker"):
        unavailable("no broker")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no broker"):
        unavailable("no broker")


def test_servers_that_do_not_start_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    nowhere = {"kafka_jars": tmp_path / "cache", "maven_repository": "http://127.0.0.1:9"}
    with pytest.raises(pytest.skip.Exception, match="can't be downloaded"):
        started(tmp_path / "data", postgres=False, redis=False, **nowhere)


def test_an_empty_address_is_none() -> None:
    assert address_from({KAFKA_BOOTSTRAP_SERVERS: "broker:9092"}, KAFKA_BOOTSTRAP_SERVERS) == "broker:9092"
    assert address_from({KAFKA_BOOTSTRAP_SERVERS: ""}, KAFKA_BOOTSTRAP_SERVERS) is None
    assert address_from({}, KAFKA_BOOTSTRAP_SERVERS) is None
