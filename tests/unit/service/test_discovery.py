"""Finding the servers that another command runs on this machine."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from service.discovery import FILE, announced, running_servers
from service.settings import load

ADDRESSES = {
    "kafka.bootstrap_servers": "127.0.0.1:20001",
    "kafka.security_protocol": "SASL_PLAINTEXT",
    "kafka.sasl_mechanism": "PLAIN",
    "kafka.sasl_username": "us",
    "kafka.sasl_password": "hunter2",
    "redis.url": "redis://:hunter2@127.0.0.1:20002/0",
}


def test_servers_are_found_while_they_are_announced_and_not_after(tmp_path: Path) -> None:
    with announced(tmp_path, ADDRESSES):
        assert running_servers(tmp_path) == ADDRESSES
    assert running_servers(tmp_path) == {}


def test_what_is_announced_is_for_its_owner_only(tmp_path: Path) -> None:
    with announced(tmp_path, ADDRESSES):
        assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_what_a_dead_process_announced_does_not_count(tmp_path: Path) -> None:
    with announced(tmp_path, ADDRESSES):
        content = json.loads((tmp_path / FILE).read_text())
        (tmp_path / FILE).write_text(json.dumps(content | {"started": content["started"] - 1000}))
        assert running_servers(tmp_path) == {}


def test_a_file_that_is_damaged_does_not_count(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    assert running_servers(tmp_path) == {}


def test_settings_without_addresses_lead_to_the_running_servers(tmp_path: Path) -> None:
    with announced(tmp_path, ADDRESSES):
        loaded = load(environment={"GROUNDSWELL_DATA_DIR": str(tmp_path)})
    assert loaded.settings.kafka.bootstrap_servers == "127.0.0.1:20001"
    assert loaded.settings.kafka.sasl_username == "us"
    assert loaded.settings.redis.url is not None
    assert loaded.origins["redis.url"] == "running servers"
    assert loaded.settings.postgres.dsn is None


def test_an_address_of_ones_own_takes_nothing_from_the_running_servers(tmp_path: Path) -> None:
    environment = {"GROUNDSWELL_DATA_DIR": str(tmp_path), "GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS": "other:9092"}
    with announced(tmp_path, ADDRESSES):
        settings = load(environment=environment).settings
    assert settings.kafka.bootstrap_servers == "other:9092"
    assert settings.kafka.security_protocol == "PLAINTEXT"


def test_whoever_starts_servers_does_not_look_for_running_ones(tmp_path: Path) -> None:
    with announced(tmp_path, ADDRESSES):
        loaded = load(environment={"GROUNDSWELL_DATA_DIR": str(tmp_path)}, find_running=False)
    assert loaded.settings.redis.url is None


def test_a_data_folder_may_be_named_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    with announced(tmp_path / "data", ADDRESSES):
        settings = load(environment={"GROUNDSWELL_DATA_DIR": "~/data"}).settings
    assert settings.data_dir == tmp_path / "data"
    assert settings.kafka.bootstrap_servers == "127.0.0.1:20001"
