"""The sections of `groundswell.yml` that say where the servers are, and what all sections have in common."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from service.durations import format_duration
from service.values import (
    BootstrapServers,
    KeyPrefix,
    Positive,
    PostgresDsn,
    RedisUrl,
    Topic,
)


class Section(BaseModel):
    """What all sections have in common: unknown keys are refused, nothing changes after start-up."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)


class Kafka(Section):
    """Where the messages come from and go to."""

    bootstrap_servers: BootstrapServers | None = Field(
        default=None,
        description="host:port of one or more brokers, separated by commas. Without it `up` runs its own Kafka.",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How to talk to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="How to log in; needed with SASL_PLAINTEXT and SASL_SSL."
    )
    sasl_username: str | None = Field(default=None, description="The user to log in as.")
    sasl_password: SecretStr | None = Field(default=None, description="The user's password.")
    ssl_ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities to trust; without it the system's own are trusted."
    )
    ssl_cert_file: Path | None = Field(
        default=None, description="PEM file of our certificate, where brokers ask for one."
    )
    ssl_key_file: Path | None = Field(default=None, description="PEM file of our certificate's private key.")
    ssl_key_password: SecretStr | None = Field(default=None, description="The private key's password, if it has one.")
    ssl_check_hostname: bool = Field(
        default=True, description="Whether a broker's certificate must be for the host name that we connect to."
    )
    news_topic: Topic = Field(default="news", description="Topic of news items.")
    comments_topic: Topic = Field(default="comments", description="Topic of comments.")
    scored_topic: Topic = Field(
        default="scored", description="Topic that the classify stage writes and the record stage reads."
    )
    dead_letters_topic: Topic = Field(
        default="dead-letters", description="Topic of messages that could not be processed."
    )
    partitions: int = Field(
        default=4, ge=1, le=1000, description="Partitions of the topics that `topics create` makes."
    )
    replication_factor: int = Field(
        default=1, ge=1, le=10, description="Copies of each partition that `topics create` asks for."
    )
    group_prefix: Topic = Field(
        default="groundswell", description="Start of the consumer groups' names: PREFIX-classify and PREFIX-record."
    )

    @model_validator(mode="after")
    def _credentials_match_protocol(self) -> Self:
        wants_login = self.security_protocol.startswith("SASL")
        given = {name: getattr(self, name) for name in ("sasl_mechanism", "sasl_username", "sasl_password")}
        if wants_login and (missing := [name for name, value in given.items() if value is None]):
            needed = ", ".join(f"kafka.{name}" for name in missing)
            raise ValueError(f"kafka.security_protocol {self.security_protocol} needs {needed}")
        if not wants_login and (extra := [name for name, value in given.items() if value is not None]):
            raise ValueError(
                f"{', '.join(f'kafka.{name}' for name in extra)} given, but kafka.security_protocol is "
                f"{self.security_protocol}: SASL_SSL or SASL_PLAINTEXT would use it"
            )
        if (self.ssl_cert_file is None) != (self.ssl_key_file is None):
            raise ValueError("kafka.ssl_cert_file and kafka.ssl_key_file are needed together")
        topics = [self.news_topic, self.comments_topic, self.scored_topic, self.dead_letters_topic]
        if len(set(topics)) != len(topics):
            raise ValueError(f"the four topics under kafka must have different names, got {', '.join(topics)}")
        return self


class Postgres(Section):
    """Where the history is kept."""

    dsn: PostgresDsn | None = Field(
        default=None,
        description="postgresql://user:password@host:5432/database?sslmode=verify-full. "
        "Without it `up` runs its own PostgreSQL.",
    )
    connect_timeout: Positive = Field(default=timedelta(seconds=5), description="How long connecting may take.")
    statement_timeout: Positive = Field(default=timedelta(seconds=60), description="How long one statement may take.")
    lock_timeout: Positive = Field(
        default=timedelta(seconds=25),
        description="How long a statement waits for rows that another process holds; longer than "
        "postgres.idle_in_transaction_timeout.",
    )
    idle_in_transaction_timeout: Positive = Field(
        default=timedelta(seconds=10),
        description="After how long the server ends a session that holds a transaction open and does nothing "
        "(a frozen worker), so that its successor can go on.",
    )
    keepalive: Positive = Field(
        default=timedelta(seconds=20), description="How long a peer that vanished from the network goes unnoticed."
    )

    @model_validator(mode="after")
    def _lock_outlasts_idle(self) -> Self:
        if self.lock_timeout <= self.idle_in_transaction_timeout:
            raise ValueError(
                f"postgres.lock_timeout ({format_duration(self.lock_timeout)}) must be longer than "
                f"postgres.idle_in_transaction_timeout ({format_duration(self.idle_in_transaction_timeout)})"
            )
        return self


class Redis(Section):
    """Where the rolling windows are kept."""

    url: RedisUrl | None = Field(
        default=None,
        description="redis://user:password@host:6379/0, rediss:// for TLS. Without it `up` runs its own Valkey.",
    )
    prefix: KeyPrefix = Field(default="groundswell", description="Start of the names of all our keys.")
    connect_timeout: Positive = Field(default=timedelta(seconds=5), description="How long connecting may take.")
    command_timeout: Positive = Field(default=timedelta(seconds=20), description="How long one command may take.")
