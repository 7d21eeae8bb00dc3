"""The doctor, on real servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from service import connections
from service.doctor import Finding, Verdict, examine
from service.settings import Loaded, load
from store.postgres import migrate
from stream.admin import KafkaAdmin
from stream.topics import create_topics

pytestmark = pytest.mark.servers


@pytest.fixture
def loaded(
    kafka_bootstrap: str, fresh_database: str, fresh_redis: str, unique_topic: Callable[[str], str], tmp_path: Path
) -> Loaded:
    overrides = {
        "kafka.bootstrap_servers": kafka_bootstrap,
        "postgres.dsn": fresh_database,
        "redis.url": fresh_redis,
        "data_dir": str(tmp_path),
        **{f"kafka.{name}_topic": unique_topic(name) for name in ("news", "comments", "scored", "dead_letters")},
    }
    return load(environment={}, overrides=overrides)


def found(loaded: Loaded, subject: str) -> Finding:
    """What the doctor found of one thing."""
    [finding] = [finding for finding in examine(loaded) if finding.subject == subject]
    return finding


def test_servers_that_were_prepared_are_fit(loaded: Loaded) -> None:
    migrate.upgrade(connections.postgres_dsn(loaded.settings))
    with KafkaAdmin(connections.kafka(loaded.settings)) as admin:
        create_topics(admin, connections.topic_plans(loaded.settings))
    findings = {finding.subject: finding for finding in examine(loaded)}
    assert {subject for subject, finding in findings.items() if finding.verdict is not Verdict.FIT} == {"receivers"}
    assert {"settings", "kafka", "redis", "postgres", "schema", "model"} <= set(findings)
    assert "4 partitions" in findings[f"topic {loaded.settings.kafka.news_topic}"].text


def test_what_was_not_prepared_is_found_with_the_fix(loaded: Loaded) -> None:
    topic = found(loaded, f"topic {loaded.settings.kafka.scored_topic}")
    assert (topic.verdict, topic.fix) == (Verdict.UNFIT, "make it: groundswell topics create")
    schema = found(loaded, "schema")
    assert (schema.verdict, schema.fix) == (Verdict.UNFIT, "groundswell db upgrade")


def test_servers_that_cannot_be_reached_are_found_each_and_no_password_is_shown(loaded: Loaded) -> None:
    away = loaded.over(
        {
            "kafka.bootstrap_servers": "127.0.0.1:9",
            "postgres.dsn": "postgresql://me:hunter2@127.0.0.1:9/nowhere",
            "redis.url": "redis://:hunter2@127.0.0.1:9/0",
            "model.ref": "no-such-model",
        },
        "test",
    )
    findings = list(examine(away))
    assert {f.subject for f in findings if f.verdict is Verdict.UNFIT} == {"kafka", "redis", "postgres", "model"}
    assert not any("hunter2" in finding.text + finding.fix for finding in findings)


def test_a_refused_password_is_told_from_a_server_that_is_away(loaded: Loaded, fresh_database: str) -> None:
    parts = urlsplit(fresh_database)
    dsn = urlunsplit(parts._replace(netloc=f"{parts.username}:hunter2@{parts.hostname}:{parts.port}"))
    finding = found(loaded.over({"postgres.dsn": dsn}, "test"), "postgres")
    assert finding.verdict is Verdict.UNFIT
    assert "password" in finding.text
    assert "hunter2" not in finding.text


def test_a_redis_that_evicts_is_unfit(loaded: Loaded, fresh_redis: str) -> None:
    with redis.Redis.from_url(fresh_redis) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            finding = found(loaded, "redis")
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert finding.verdict is Verdict.UNFIT
    assert "noeviction" in finding.fix


def test_a_topic_that_takes_only_small_messages_is_unfit(loaded: Loaded) -> None:
    plan = connections.topic_plans(loaded.settings)[0]
    with KafkaAdmin(connections.kafka(loaded.settings)) as admin:
        create_topics(admin, [type(plan)(name=plan.name, configs={"max.message.bytes": "10000"})])
    finding = found(loaded, f"topic {plan.name}")
    assert finding.verdict is Verdict.UNFIT
    assert "max.message.bytes" in finding.fix


def test_a_receiver_without_encryption_is_pointed_out_and_one_on_loopback_is_not(loaded: Loaded) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    receivers = [
        {"name": "far", "url": "http://example.com/hunter2", "secret": secret},
        {"name": "near", "url": "http://127.0.0.1:9/x", "secret": secret},
    ]
    findings = {f.subject: f for f in examine(loaded.over({"receivers": receivers}, "test"))}
    assert findings["receiver far"].verdict is Verdict.ODD
    assert findings["receiver near"].verdict is Verdict.FIT
    assert "hunter2" not in findings["receiver far"].text
