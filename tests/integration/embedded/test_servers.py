"""The embedded servers keep what they were given, and let in nobody but us."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis as redis_client
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.embedded_clients import kafka_settings, kept, make_topic, put, read, send

from service.embedded import EmbeddedServers
from service.supervise import Supervisor

pytestmark = pytest.mark.servers

NAMES = ("kafka", "postgres", "redis")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_acknowledged_outlives_a_kill_and_the_port_stays(servers: EmbeddedServers, name: str) -> None:
    put(name, servers.addresses, "before")
    server, addresses, first = servers.servers[name], servers.addresses, servers.servers[name].pid
    server.kill()
    assert server.poll() == -9
    servers.restart(name)
    assert servers.addresses == addresses
    assert server.pid not in (None, first)
    put(name, addresses, "after")
    assert kept(name, addresses) == ["before", "after"]


def test_the_supervisor_starts_a_killed_server_again_and_says_so(servers: EmbeddedServers) -> None:
    put("redis", servers.addresses, "supervised")
    server, said = servers.servers["redis"], list[str]()
    supervisor = Supervisor([], servers=tuple(servers.servers.values()), say=said.append)
    supervisor.start(now=0.0)
    server.kill()
    for now in (1.0, 1.4, 1.5):
        supervisor.tick(now)
    assert said == ["redis was ended by SIGKILL after 1.0 s; starting it again in 0.5 s"]
    server.wait_ready(20)
    assert kept("redis", servers.addresses)[-1] == "supervised"
    supervisor.stop()
    assert server.pid is not None  # who started it stops it


@pytest.mark.parametrize("name", NAMES)
def test_each_listens_on_loopback_only(servers: EmbeddedServers, name: str) -> None:
    server = servers.servers[name]
    process = psutil.Process(server.pid)
    family = [process, *process.children(recursive=True)]
    listening = [c.laddr for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert {address.port for address in listening} == set(server.ports)
    # The JVM has one kind of socket for both versions of IP.
    assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert [c.laddr for p in family for c in p.net_connections("unix") if c.laddr] == []


def test_postgres_lets_in_nobody_without_the_password(servers: EmbeddedServers) -> None:
    dsn = servers.addresses.postgres_dsn
    assert dsn is not None
    secret = psycopg2.extensions.parse_dsn(dsn)["password"]
    for wrong in ("", ":wrong", f":{secret[:-1]}"):
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(dsn.replace(f":{secret}", wrong), passfile="/dev/null")


def test_redis_lets_in_nobody_without_the_password(servers: EmbeddedServers) -> None:
    (port,) = servers.servers["redis"].ports
    for wrong in (None, "", "wrong"):
        client = redis_client.Redis(port=port, password=wrong, retry=Retry(NoBackoff(), 0))
        with client, pytest.raises(redis_client.AuthenticationError):
            client.get("key")


@pytest.mark.parametrize(
    "credentials",
    [
        {"security.protocol": "PLAINTEXT"},
        {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "groundswell",
            "sasl.password": "wrong",
        },
    ],
)
def test_kafka_lets_in_nobody_without_the_password(servers: EmbeddedServers, credentials: dict[str, str]) -> None:
    for port in servers.servers["kafka"].ports:
        client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0, **credentials})
        with pytest.raises(KafkaException):
            client.list_topics(timeout=1)


def test_passwords_stand_in_private_files_and_nowhere_else(servers: EmbeddedServers) -> None:
    assert stat.S_IMODE(servers.data_dir.stat().st_mode) == 0o700
    secrets = [(servers.data_dir / name / "password").read_text() for name in NAMES]
    assert len(set(secrets)) == 3
    assert all(len(secret) == 48 for secret in secrets)
    for file in servers.data_dir.rglob("*"):
        if file.is_file() and "data" not in file.relative_to(servers.data_dir).parts:
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    shown = repr(servers.addresses) + "".join(
        " ".join(psutil.Process(server.pid).cmdline()) + server.log.read_text() for server in servers.servers.values()
    )
    assert not any(secret in shown for secret in secrets)


def test_kafka_takes_a_dead_letter_larger_than_eight_mebibytes(servers: EmbeddedServers) -> None:
    address = servers.addresses.kafka
    assert address is not None
    make_topic(address)
    value = b"x" * (8 * 1024 * 1024 + 64 * 1024)
    send(address, value)
    assert read(address)[-1].value() == value


def test_kafka_makes_no_topic_by_itself(servers: EmbeddedServers) -> None:
    address = servers.addresses.kafka
    assert address is not None
    client = AdminClient(kafka_settings(address) | {"allow.auto.create.topics": True})
    client.list_topics("misspelt", timeout=5)
    time.sleep(0.2)
    assert "misspelt" not in client.list_topics(timeout=5).topics


def test_redis_evicts_nothing_and_appends_to_a_file(servers: EmbeddedServers) -> None:
    url = servers.addresses.redis_url
    assert url is not None
    with redis_client.Redis.from_url(url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy", "appendonly", "appendfsync", "save") == {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
        }


def test_postgres_is_version_18_in_utf8_and_sorts_by_code_point(servers: EmbeddedServers) -> None:
    with psycopg2.connect(servers.addresses.postgres_dsn) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),"
            " current_setting('timezone'), current_setting('data_checksums'), upper('é'), 'Z' < 'a'"
        )
        assert cursor.fetchone() == (18, "UTF8", "UTC", "on", "É", True)
    connection.close()


def test_each_server_has_its_place_in_the_data_folder(servers: EmbeddedServers) -> None:
    assert {entry.name for entry in servers.data_dir.iterdir() if entry.is_dir()} == set(NAMES)
    assert all(server.log == Path(servers.data_dir / name / "server.log") for name, server in servers.servers.items())
