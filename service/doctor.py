"""Is each setting and each server fit for the job, and if not, what is the fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from domain.errors import GroundswellError
from service import connections, wiring
from service.entity_names import read_names
from service.settings import Loaded, Settings

if TYPE_CHECKING:
    from stream.topics import TopicDescription

_BYTES_AROUND_TEXT = 64 * 1024
"""Room in a message for what is not the text: title, address, symbols, scores, headers."""


class Verdict(StrEnum):
    """What an examination found."""

    FIT = "fit"
    ODD = "odd"
    """It works, but someone should know."""
    UNFIT = "unfit"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report; `fix` says what to do."""

    subject: str
    verdict: Verdict
    text: str
    fix: str = ""


Examination = Callable[[Settings], Iterator[Finding]]


def examine(loaded: Loaded) -> Iterator[Finding]:
    """Look at everything, one finding after the other as they come. A server that can't be reached, or isn't set, is
    a finding as well."""
    where = f"{loaded.file} and the environment" if loaded.file else "the environment (there is no settings file)"
    yield Finding(subject="settings", verdict=Verdict.FIT, text=f"read from {where}, all valid")
    yield from _receivers(loaded.settings)
    examinations: dict[str, Examination] = {
        "kafka": _kafka,
        "redis": _redis,
        "postgres": _postgres,
        "model": _model,
        "names": _names,
    }
    for subject, examination in examinations.items():
        try:
            yield from examination(loaded.settings)
        except GroundswellError as error:
            yield Finding(subject=subject, verdict=Verdict.UNFIT, text=str(error))


def _receivers(settings: Settings) -> Iterator[Finding]:
    if not settings.receivers:
        yield Finding(
            subject="receivers",
            verdict=Verdict.ODD,
            text="there are none: alerts are raised and nobody is told",
            fix="name at least one under receivers",
        )
    for receiver in settings.receivers:
        parts = urlsplit(receiver.url.get_secret_value())
        subject = f"receiver {receiver.name}"
        if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            yield Finding(
                subject=subject,
                verdict=Verdict.ODD,
                text=f"{parts.hostname} is called without encryption: anyone on the way can read the alerts",
                fix="use https://",
            )
        else:
            yield Finding(subject=subject, verdict=Verdict.FIT, text=f"{parts.scheme}://{parts.hostname}")


def _kafka(settings: Settings) -> Iterator[Finding]:
    from stream.admin import KafkaAdmin
    from stream.facts import MINIMUM_VERSION, inspect
    from stream.topics import describe_topics

    with KafkaAdmin(connections.kafka(settings)) as admin:
        facts = inspect(admin)
        version = ".".join(map(str, facts.version))
        yield Finding(
            subject="kafka",
            verdict=Verdict.UNFIT if facts.too_old else Verdict.FIT,
            text=f"Kafka {version} at {settings.kafka.bootstrap_servers}, {facts.brokers} broker(s)",
            fix=f"use Kafka {'.'.join(map(str, MINIMUM_VERSION))} or newer" if facts.too_old else "",
        )
        yield from _kafka_in_the_clear(settings)
        for topic in describe_topics(admin, connections.topic_names(settings)):
            yield from _topic(settings, topic)


def _kafka_in_the_clear(settings: Settings) -> Iterator[Finding]:
    hosts = [server.rpartition(":")[0].strip("[]") for server in (settings.kafka.bootstrap_servers or "").split(",")]
    if settings.kafka.security_protocol == "SASL_PLAINTEXT" and not all(map(_is_loopback, hosts)):
        yield Finding(
            subject="kafka",
            verdict=Verdict.ODD,
            text="the password goes over the network in the clear",
            fix="set kafka.security_protocol to SASL_SSL",
        )


def _topic(settings: Settings, topic: TopicDescription) -> Iterator[Finding]:
    subject = f"topic {topic.name}"
    if not topic.exists:
        yield Finding(
            subject=subject, verdict=Verdict.UNFIT, text="does not exist", fix="make it: groundswell topics create"
        )
        return
    text = f"{len(topic.partitions)} partitions, {topic.messages:,} messages"
    if any(partition.leader is None for partition in topic.partitions):
        yield Finding(
            subject=subject, verdict=Verdict.UNFIT, text=f"{text}, some without a leader", fix="bring its brokers up"
        )
        return
    limit = int(topic.configs.get("max.message.bytes", 1_048_588))
    needed = settings.classify.max_text_bytes + _BYTES_AROUND_TEXT
    if limit < needed:
        yield Finding(
            subject=subject,
            verdict=Verdict.UNFIT,
            text=f"{text}, takes messages of at most {limit:,} bytes: a document of the longest text allowed "
            f"(classify.max_text_bytes) may need {needed:,}",
            fix=f"raise its max.message.bytes to {needed} with kafka-configs, or lower classify.max_text_bytes",
        )
        return
    if "compact" in topic.configs.get("cleanup.policy", ""):
        yield Finding(
            subject=subject,
            verdict=Verdict.UNFIT,
            text=f"{text}, is compacted: messages that were not read yet may be dropped",
            fix="set its cleanup.policy to delete with kafka-configs",
        )
        return
    if any(partition.in_sync < partition.replicas for partition in topic.partitions):
        yield Finding(
            subject=subject,
            verdict=Verdict.ODD,
            text=f"{text}, not all replicas are in sync",
            fix="bring its brokers up",
        )
        return
    yield Finding(subject=subject, verdict=Verdict.FIT, text=text)


def _redis(settings: Settings) -> Iterator[Finding]:
    from store.redis.facts import FIXES

    server = connections.redis(settings, "doctor")
    facts = server.inspect()
    text = f"{facts.server.capitalize()} {facts.version} at {server.address}, {facts.maxmemory_policy}"
    unfit = facts.unfit()
    for reason in unfit:
        yield Finding(
            subject="redis", verdict=Verdict.UNFIT, text=f"{text}: {reason.replace('_', ' ')}", fix=FIXES[reason]
        )
    if not unfit:
        memory = f"{facts.used_memory / 2**20:,.0f} MiB used"
        limit = f" of {facts.maxmemory / 2**20:,.0f}" if facts.maxmemory else ", no limit"
        yield Finding(subject="redis", verdict=Verdict.FIT, text=f"{text}, {memory}{limit}")


def _postgres(settings: Settings) -> Iterator[Finding]:
    from store.postgres import migrate
    from store.postgres.facts import FIXES, inspect

    database = connections.postgres(settings, "doctor")
    facts = inspect(database)
    text = f"PostgreSQL {facts.version} at {database.address}, {facts.encoding}"
    unfit = facts.unfit()
    for reason in unfit:
        yield Finding(
            subject="postgres", verdict=Verdict.UNFIT, text=f"{text}: {reason.replace('_', ' ')}", fix=FIXES[reason]
        )
    if not unfit:
        yield Finding(subject="postgres", verdict=Verdict.FIT, text=text)
    revision, needed = migrate.current(connections.postgres_dsn(settings)), migrate.head()
    if revision == needed:
        yield Finding(subject="schema", verdict=Verdict.FIT, text=f"at {revision}, as this version needs it")
    else:
        yield Finding(
            subject="schema",
            verdict=Verdict.UNFIT,
            text=f"at {revision or 'no revision'}, this version needs {needed}",
            fix="groundswell db upgrade",
        )


def _model(settings: Settings) -> Iterator[Finding]:
    from service.model_in_force import in_force
    from service.stream_models import ModelLoader
    from stream.live_model import prove

    try:
        choice = wiring.model_choice(settings)
    except GroundswellError as error:
        yield Finding(
            subject="model registry",
            verdict=Verdict.UNFIT,
            text=f"it can't be asked which model is promoted: {error}",
            fix="bring Postgres up, and its schema up to date; or pin a model with model.ref",
        )
        choice = in_force(settings, ())
    classifier = ModelLoader(settings).classifier(choice.location)
    prove(classifier)
    [answer] = classifier.classify(["Example Corp cuts its forecast for the year"])
    yield Finding(
        subject="model",
        verdict=Verdict.FIT,
        text=f"{classifier.model}, {choice.why}; languages {', '.join(sorted(classifier.languages))}; "
        f"it finds a cut forecast {answer.sentiment.label}",
    )


def _names(settings: Settings) -> Iterator[Finding]:
    if settings.classify.names_file is not None:
        names = read_names(settings.classify.names_file)
        text = f"{sum(map(len, names.values()))} of {len(names)} symbols in {settings.classify.names_file}"
        yield Finding(subject="names", verdict=Verdict.FIT, text=text)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
