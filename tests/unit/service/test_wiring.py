"""What the settings make of the parts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from alerts.delivery.deliver import DeliveryPolicy
from domain.document import Kind
from service import connections, wiring
from service.settings import Settings, load
from stream.kafka import KafkaConnection, SaslMechanism, SecurityProtocol


def settings(**values: object) -> Settings:
    """Settings with these values, `kafka__partitions` for `kafka.partitions`."""
    overrides = {key.replace("__", "."): value for key, value in values.items()}
    return load(environment={}, overrides=overrides, find_running=False).settings


def test_a_kafka_with_login_and_tls_is_reached_as_the_settings_say() -> None:
    made = connections.kafka(
        settings(
            kafka__bootstrap_servers="a:9093,b:9093",
            kafka__security_protocol="SASL_SSL",
            kafka__sasl_mechanism="SCRAM-SHA-512",
            kafka__sasl_username="me",
            kafka__sasl_password="hunter2",
            kafka__ssl_ca_file="/etc/ca.pem",
            kafka__ssl_cert_file="/etc/cert.pem",
            kafka__ssl_key_file="/etc/key.pem",
            kafka__ssl_key_password="hunter3",
            kafka__ssl_check_hostname=False,
        )
    )
    assert made == KafkaConnection(
        bootstrap_servers="a:9093,b:9093",
        security_protocol=SecurityProtocol.SASL_SSL,
        sasl_mechanism=SaslMechanism.SCRAM_SHA_512,
        username="me",
        password="hunter2",
        ca_file=Path("/etc/ca.pem"),
        certificate_file=Path("/etc/cert.pem"),
        key_file=Path("/etc/key.pem"),
        key_password="hunter3",
        check_hostname=False,
    )


def test_topics_and_groups_have_the_names_of_the_settings() -> None:
    made = settings(
        kafka__news_topic="wire", kafka__group_prefix="risk", kafka__partitions=6, kafka__replication_factor=3
    )
    assert connections.source_topics(made) == {Kind.NEWS: "wire", Kind.COMMENT: "comments"}
    assert connections.topic_names(made) == ("wire", "comments", "scored", "dead-letters")
    assert connections.groups(made) == ("risk-classify", "risk-record")
    plans = connections.topic_plans(made)
    assert {(plan.partitions, plan.replication) for plan in plans} == {(6, 3)}
    assert [plan.name for plan in plans if plan.configs] == ["dead-letters"]


def test_posted_documents_and_those_on_the_topics_keep_to_the_same_limits() -> None:
    limits = wiring.message_limits(
        settings(classify__max_text_bytes=100, classify__max_symbols=2, event_time__max_ahead="1m")
    )
    assert (limits.max_text, limits.max_symbols, limits.max_ahead) == (100, 2, timedelta(minutes=1))


def test_webhooks_are_tried_again_as_the_specification_suggests_unless_told_otherwise() -> None:
    assert wiring.delivery_policy(settings()) == DeliveryPolicy()

    told = wiring.delivery_policy(settings(delivery__retries=["1s", "1m30s"]))
    assert told.schedule.delays == (timedelta(seconds=1), timedelta(seconds=90))
