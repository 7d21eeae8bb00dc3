"""How the servers are reached, and what the topics and the consumer groups are called: the settings' word, for all.

Clients are imported where they are used, so that a process loads only what it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from domain.document import Kind
from domain.errors import PermanentError
from service.settings import ADDRESSES, ENV_PREFIX, Settings

if TYPE_CHECKING:
    from store.postgres.connection import Postgres
    from store.redis.connection import Redis
    from stream.kafka import KafkaConnection
    from stream.topics import TopicPlan

_LARGEST_DEAD_LETTER = 16 << 20
"""Bytes: a dead letter is a source message, of whatever size its topic takes, and some headers more."""


def kafka(settings: Settings) -> KafkaConnection:
    """How to reach Kafka. Raises PermanentError when no address is set."""
    from stream.kafka import KafkaConnection, SaslMechanism, SecurityProtocol

    section = settings.kafka
    return KafkaConnection(
        bootstrap_servers=_needed("kafka", section.bootstrap_servers),
        security_protocol=SecurityProtocol(section.security_protocol),
        sasl_mechanism=SaslMechanism(section.sasl_mechanism or SaslMechanism.PLAIN),
        username=section.sasl_username,
        password=_plain(section.sasl_password),
        ca_file=section.ssl_ca_file,
        certificate_file=section.ssl_cert_file,
        key_file=section.ssl_key_file,
        key_password=_plain(section.ssl_key_password),
        check_hostname=section.ssl_check_hostname,
    )


def postgres_dsn(settings: Settings) -> str:
    """Where the history is. Raises PermanentError when it is not set."""
    return _needed("postgres", _plain(settings.postgres.dsn))


def postgres(settings: Settings, application_name: str, *, pool_size: int = 4) -> Postgres:
    """The database of the history."""
    from store.postgres.connection import Postgres, Timeouts

    section = settings.postgres
    timeouts = Timeouts(
        connect=section.connect_timeout.total_seconds(),
        statement=section.statement_timeout.total_seconds(),
        lock=section.lock_timeout.total_seconds(),
        idle_in_transaction=section.idle_in_transaction_timeout.total_seconds(),
        keepalive=section.keepalive.total_seconds(),
    )
    name = f"groundswell-{application_name}"
    return Postgres(postgres_dsn(settings), application_name=name, timeouts=timeouts, pool_size=pool_size)


def redis_url(settings: Settings) -> str:
    """Where the windows are. Raises PermanentError when it is not set."""
    return _needed("redis", _plain(settings.redis.url))


def redis(settings: Settings, client_name: str) -> Redis:
    """The server of the windows."""
    from store.redis.connection import Redis, RedisPolicy

    policy = RedisPolicy(
        connect_timeout=settings.redis.connect_timeout.total_seconds(),
        command_timeout=settings.redis.command_timeout.total_seconds(),
    )
    return Redis(redis_url(settings), policy=policy, client_name=f"groundswell-{client_name}")


def source_topics(settings: Settings) -> dict[Kind, str]:
    """Where documents come in."""
    return {Kind.NEWS: settings.kafka.news_topic, Kind.COMMENT: settings.kafka.comments_topic}


def topic_names(settings: Settings) -> tuple[str, ...]:
    """All topics, in the order of the flow."""
    return (*source_topics(settings).values(), settings.kafka.scored_topic, settings.kafka.dead_letters_topic)


def topic_plans(settings: Settings) -> tuple[TopicPlan, ...]:
    """The topics as they should be."""
    from stream.topics import TopicPlan

    section = settings.kafka
    roomy = {"max.message.bytes": str(_LARGEST_DEAD_LETTER)}
    return tuple(
        TopicPlan(
            name=name,
            partitions=section.partitions,
            replication=section.replication_factor,
            configs=roomy if name == section.dead_letters_topic else {},
        )
        for name in topic_names(settings)
    )


def groups(settings: Settings) -> tuple[str, ...]:
    """The consumer groups of the stages."""
    return tuple(group(settings, stage) for stage in ("classify", "record"))


def group(settings: Settings, stage: str) -> str:
    """The consumer group of a stage."""
    return f"{settings.kafka.group_prefix}-{stage}"


def _needed(section: str, address: str | None) -> str:
    if address is None:
        key = ADDRESSES[section]
        raise PermanentError(
            f"{section}.{key} ({ENV_PREFIX}{section.upper()}_{key.upper()}) is not set: give the address of a server, "
            "or start `groundswell up`, which runs its own"
        )
    return address


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
