"""Where the concrete parts are put together. Each function makes one thing out of the settings and other things.

Heavy rooms are imported where they are used, so that a process loads only what it runs.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from domain.ports import Classifier, ModelRegistry, Telemetry
from service import connections, stream_models
from service.entity_names import read_names
from service.metrics import PrometheusTelemetry
from service.model_in_force import InForce, in_force
from service.settings import Settings, metrics_directory

if TYPE_CHECKING:
    from alerts.delivery.deliver import Deliverer, DeliveryPolicy
    from alerts.surge import SurgeRule
    from alerts.watch import Watcher
    from models.folder import ModelSettings
    from service.http.parts import Parts, Probes
    from service.sampler import Sample
    from store.postgres.alerts import PostgresAlertStore
    from store.postgres.connection import Postgres
    from store.postgres.corrections import PostgresCorrections
    from store.postgres.history import PostgresHistory
    from store.postgres.outbox import PostgresOutbox
    from store.postgres.reader import PostgresReader
    from store.postgres.registry import PostgresModelRegistry
    from store.redis.reader import RedisWindowReader
    from store.redis.windows import RedisWindows
    from stream.dead_letter_tools import DeadLetters
    from stream.intake import Intake
    from stream.messages import MessagePolicy


# --- what every process may need -------------------------------------------------------------------------------------


def telemetry() -> PrometheusTelemetry:
    """This process's metrics, shared with others where the supervisor says so."""
    return PrometheusTelemetry(directory=metrics_directory())


def dead_letters(settings: Settings) -> DeadLetters:
    """The dead-letter topic."""
    from stream.dead_letter_tools import DeadLetters

    return DeadLetters(connections.kafka(settings), settings.kafka.dead_letters_topic)


# --- the worker's stages ---------------------------------------------------------------------------------------------


def classifier(settings: Settings, ref: str | None = None) -> Classifier:
    """The model `ref`, or the one in force, loaded. Raises as ModelLoader.classifier does."""
    return stream_models.ModelLoader(settings).classifier(ref or model_choice(settings).location)


def model_choice(settings: Settings) -> InForce:
    """Which model is in force, and why. Asks the registry where it is followed."""
    registry = _followed_registry(settings)
    return in_force(settings, registry.promoted() if registry is not None else ())


def model_settings(settings: Settings, registry: ModelRegistry) -> ModelSettings:
    """What the model in force says of itself. Raises PermanentError when its folder can't be read here."""
    from models.folder import read_settings
    from models.load import find_folder

    return read_settings(find_folder(in_force(settings, registry.promoted()).location))


def model_registry(settings: Settings, application_name: str) -> PostgresModelRegistry:
    """Which models there are, and which is promoted."""
    from store.postgres.registry import PostgresModelRegistry

    return PostgresModelRegistry(connections.postgres(settings, application_name, pool_size=1))


def message_limits(settings: Settings) -> MessagePolicy:
    """What documents must keep to, wherever they come in."""
    from stream.messages import MessagePolicy

    return MessagePolicy(
        max_text=settings.classify.max_text_bytes,
        max_symbols=settings.classify.max_symbols,
        max_ahead=settings.event_time.max_ahead,
    )


def classify_stage(settings: Settings, telemetry: Telemetry) -> Intake:
    """From the source topics to the scored log."""
    from stream.admin import KafkaAdmin
    from stream.classify import ClassifyPolicy, ClassifyTopics, build_classify
    from stream.intake import IntakePolicy
    from stream.topics import KafkaTopicIds

    connection = connections.kafka(settings)
    kafka = settings.kafka
    names = read_names(settings.classify.names_file)
    loader = stream_models.ModelLoader(settings, names=names)
    model, follower = stream_models.live_model(settings, _followed_registry(settings), loader, telemetry)
    intake = IntakePolicy(max_batch=settings.classify.batch_size, max_wait=settings.classify.batch_wait.total_seconds())
    return build_classify(
        connection=connection,
        topics=ClassifyTopics(
            news=kafka.news_topic,
            comments=kafka.comments_topic,
            scored=kafka.scored_topic,
            dead_letters=kafka.dead_letters_topic,
        ),
        group=connections.group(settings, "classify"),
        model=model,
        topic_ids=KafkaTopicIds(KafkaAdmin(connection)),
        policy=ClassifyPolicy(
            limits=message_limits(settings),
            idle_after=settings.classify.idle_after.total_seconds(),
            names=names,
            intake=intake,
        ),
        telemetry=telemetry,
        follower=follower,
        observers=stream_models.observers(settings, loader, telemetry),
    )


def record_stage(settings: Settings, telemetry: Telemetry) -> Intake:
    """From the scored log to the history and the windows."""
    from stream.admin import KafkaAdmin
    from stream.intake import IntakePolicy
    from stream.record import RecordPolicy, build_record
    from stream.topics import KafkaTopicIds

    connection = connections.kafka(settings)
    history = _history(settings, "record")
    intake = IntakePolicy(
        max_batch=settings.record.batch_size,
        max_batch_bytes=4 << 20,
        max_wait=settings.record.batch_wait.total_seconds(),
        max_queued=4 * settings.record.batch_size,
    )
    return build_record(
        connection=connection,
        scored_topic=settings.kafka.scored_topic,
        dead_letters_topic=settings.kafka.dead_letters_topic,
        group=connections.group(settings, "record"),
        history=history,
        windows=_windows(settings, "record", history),
        topic_ids=KafkaTopicIds(KafkaAdmin(connection)),
        policy=RecordPolicy(reconcile_every=settings.record.reconcile_every.total_seconds(), intake=intake),
        telemetry=telemetry,
    )


# --- watch -----------------------------------------------------------------------------------------------------------


def surge_rules(settings: Settings) -> tuple[SurgeRule, ...]:
    """The rules; one that names no receivers tells all of them."""
    everyone = tuple(receiver.name for receiver in settings.receivers)
    return tuple(rule.as_alerts_have_it(everyone) for rule in settings.rules)


def watcher(settings: Settings, telemetry: Telemetry) -> Watcher:
    """Evaluates the rules."""
    from alerts.watch import Watcher

    database = connections.postgres(settings, "watch")
    return Watcher(
        surge_rules(settings),
        windows=window_reader(settings, "watch", database),
        history=history_reader(database),
        alerts=alert_store(database),
        lateness=settings.event_time.lateness,
        telemetry=telemetry,
    )


def deliverer(settings: Settings, telemetry: Telemetry) -> Deliverer:
    """Calls the receivers' webhooks."""
    from alerts.delivery.deliver import Deliverer

    receivers = [receiver.as_alerts_have_it() for receiver in settings.receivers]
    sent_from = outbox(connections.postgres(settings, "deliver"))
    return Deliverer(receivers, outbox=sent_from, clock=_now, telemetry=telemetry, policy=delivery_policy(settings))


def delivery_policy(settings: Settings) -> DeliveryPolicy:
    """How deliveries are paced."""
    from alerts.delivery.deliver import DeliveryPolicy
    from alerts.delivery.schedule import Schedule

    return DeliveryPolicy(schedule=Schedule(delays=settings.delivery.retries))


def history_reader(database: Postgres) -> PostgresReader:
    """Reads the history."""
    from store.postgres.reader import PostgresReader

    return PostgresReader(database)


def corrections(database: Postgres) -> PostgresCorrections:
    """What people say where a model was wrong."""
    from store.postgres.corrections import PostgresCorrections

    return PostgresCorrections(database)


def alert_store(database: Postgres) -> PostgresAlertStore:
    """Keeps alerts, and how far the rules have been evaluated."""
    from store.postgres.alerts import PostgresAlertStore

    return PostgresAlertStore(database)


def outbox(database: Postgres) -> PostgresOutbox:
    """Keeps what is to be sent."""
    from store.postgres.outbox import PostgresOutbox

    return PostgresOutbox(database)


# --- HTTP ------------------------------------------------------------------------------------------------------------


def api_parts(settings: Settings, telemetry: Telemetry, probes: Probes) -> Parts:
    """What the HTTP API is made of."""
    from service.http.parts import HttpPolicy, Parts
    from store.postgres.registry import PostgresModelRegistry
    from stream.publish import KafkaPublisher

    database = connections.postgres(settings, "serve", pool_size=10)
    registry = PostgresModelRegistry(database)
    policy = HttpPolicy(
        max_body_bytes=settings.http.max_body_bytes,
        max_documents=settings.http.max_documents,
        lateness=settings.event_time.lateness,
    )
    return Parts(
        history=history_reader(database),
        windows=window_reader(settings, "serve", database),
        publisher=KafkaPublisher(
            connections.kafka(settings),
            topics=connections.source_topics(settings),
            policy=message_limits(settings),
        ),
        corrections=corrections(database),
        model=lambda: model_settings(settings, registry),
        telemetry=telemetry,
        probes=probes,
        clock=_now,
        policy=policy,
    )


def samples(settings: Settings, telemetry: Telemetry) -> tuple[Sample, ...]:
    """Measure what the servers know of the other processes: how far the stages lag behind, how many notifications
    wait."""
    from service.sampler import Reads, lag_sample, outbox_sample
    from stream.admin import KafkaAdmin

    stages = {
        "classify": Reads(connections.group(settings, "classify"), tuple(connections.source_topics(settings).values())),
        "record": Reads(connections.group(settings, "record"), (settings.kafka.scored_topic,)),
    }
    return (
        lag_sample(KafkaAdmin(connections.kafka(settings)), stages, telemetry),
        outbox_sample(outbox(connections.postgres(settings, "sample", pool_size=1)), telemetry),
    )


# --- shared ----------------------------------------------------------------------------------------------------------


def _history(settings: Settings, application_name: str) -> PostgresHistory:
    from store.postgres.history import PostgresHistory

    return PostgresHistory(connections.postgres(settings, application_name), lateness=settings.event_time.lateness)


def _windows(settings: Settings, client_name: str, history: PostgresHistory) -> RedisWindows:
    from store.redis.windows import RedisWindows

    return RedisWindows(
        connections.redis(settings, client_name),
        prefix=settings.redis.prefix,
        source=history,
        retention=settings.windows.retention,
        lateness=settings.event_time.lateness,
    )


def window_reader(settings: Settings, client_name: str, database: Postgres) -> RedisWindowReader:
    """Reads the windows: from Redis, and what is older than Redis keeps from the history."""
    from store.postgres.rollups import PostgresRollUps
    from store.redis.reader import RedisWindowReader

    source = connections.redis(settings, client_name)
    return RedisWindowReader(source, prefix=settings.redis.prefix, fallback=PostgresRollUps(database))


def _followed_registry(settings: Settings) -> PostgresModelRegistry | None:
    """None where the settings pin a model, or where there is no Postgres."""
    if settings.model.ref is not None or settings.postgres.dsn is None:
        return None
    return model_registry(settings, "classify")


def _now() -> datetime:
    return datetime.now(UTC)
