"""The single description of the schema in Postgres; `db check` proves that a migrated database equals it.

Hot tables carry no foreign keys (each would cost a look-up per row): `store/postgres/append.py` is their only writer
and fills the dictionaries first. Tables in PARTITIONED are split by calendar month, without a default partition.
Nothing is ever updated in ledger, document, document_text, score and mention, but for the ledger's message when Kafka
loses its tail: what people correct is in rows of a table of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from domain.classification import Label, Unscored
from domain.document import Kind
from domain.log import MarkStatus

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }
)

KINDS = {Kind.NEWS: 0, Kind.COMMENT: 1}
LABELS = {Label.NEGATIVE: -1, Label.NEUTRAL: 0, Label.POSITIVE: 1}
UNSCORED = {Unscored.LANGUAGE: 1}
MARK_STATUSES = {MarkStatus.UNREAD: 0, MarkStatus.READING: 1, MarkStatus.IDLE: 2, MarkStatus.ENDED: 3}
"""How enumerations stand in narrow columns. A number, once given, is never given to another value."""

NAME_LIMIT = 1024
"""Bytes of a source, author, symbol or topic: what fits an index with room to spare."""

timestamp = sa.TIMESTAMP(timezone=True)


def _recorded_at() -> sa.Column[object]:
    """When the row was written (the start of its transaction): what was known when."""
    return sa.Column("recorded_at", timestamp, nullable=False, server_default=sa.text("now()"))


# --- dictionaries: names, each once ----------------------------------------------------------------------------------

kafka_partition = sa.Table(
    "kafka_partition",
    metadata,
    sa.Column("partition_id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("topic_id", pg.UUID(as_uuid=True), nullable=False, comment="A topic made anew has another id."),
    sa.Column("number", sa.Integer, nullable=False),
    _recorded_at(),
    sa.UniqueConstraint("topic_id", "number"),
    comment="Partitions of Kafka topics, sources and scored alike.",
)

subject = sa.Table(
    "subject",
    metadata,
    sa.Column("subject_id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False, comment="topic or entity."),
    sa.Column("name", sa.Text, nullable=False),
    _recorded_at(),
    sa.UniqueConstraint("kind", "name"),
    sa.CheckConstraint(f"octet_length(name) <= {NAME_LIMIT}", name="name"),
    comment="What is watched: topics and entities.",
)

publisher = sa.Table(
    "publisher",
    metadata,
    sa.Column("publisher_id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    _recorded_at(),
    sa.UniqueConstraint("name"),
    sa.CheckConstraint(f"octet_length(name) <= {NAME_LIMIT}", name="name"),
    comment="Who speaks: sources and authors.",
)

model = sa.Table(
    "model",
    metadata,
    sa.Column("model_id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column(
        "labels",
        sa.Text,
        nullable=False,
        comment='The tasks beside sentiment, and their labels in the order of score.probabilities: [["topic", [..]]].',
    ),
    _recorded_at(),
    sa.UniqueConstraint("name", "version", "labels"),
    comment="Models, with the labels they speak in.",
)

# --- the log: what has been recorded, and how far --------------------------------------------------------------------

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("message_offset", sa.BigInteger),
    sa.Column("published_at", timestamp, nullable=False),
    _recorded_at(),
    sa.Column(
        "partition_id",
        sa.Integer,
        comment="With message_offset: the message of scored that made it; null "
        "when Kafka lost that message after it was recorded.",
    ),
    sa.Column("publisher_id", sa.Integer, comment="Null: unknown."),
    sa.Column("polarity", sa.SmallInteger, comment="In ten-thousandths; null without a score."),
    sa.Column("label", sa.SmallInteger, comment="-1 negative, 0 neutral, 1 positive; null without a score."),
    sa.Column("late", sa.Boolean, nullable=False, comment="Older than its source partition had come, less lateness."),
    sa.Column("document_id", sa.LargeBinary, primary_key=True, comment="BLAKE2b-128 of the given id."),
    sa.Column("subjects", pg.ARRAY(sa.Integer), nullable=False, comment="subject_id of each subject it concerns."),
    sa.Column(
        "polarities",
        pg.ARRAY(sa.SmallInteger),
        comment="What it says of each of its subjects, in ten-thousandths; null: polarity of all.",
    ),
    sa.Column("labels", pg.ARRAY(sa.SmallInteger), comment="The labels that belong to polarities; null: label of all."),
    sa.Index("ledger_message", "partition_id", "message_offset"),
    sa.CheckConstraint("published_at >= '1970-01-01 00:00:00+00'", name="published_at"),
    comment="One row per document, ever: the message it counts at, and what it counts as in the windows.",
)

progress = sa.Table(
    "progress",
    metadata,
    sa.Column(
        "partition_id", sa.Integer, sa.ForeignKey(kafka_partition.c.partition_id), primary_key=True, autoincrement=False
    ),
    sa.Column("next_offset", sa.BigInteger, nullable=False),
    _recorded_at(),
    postgresql_with={"fillfactor": 50},
    comment="How far each partition of scored is recorded. Its row lock puts the writers of a partition in order.",
)

mark = sa.Table(
    "mark",
    metadata,
    sa.Column("scored_partition_id", sa.Integer, sa.ForeignKey(kafka_partition.c.partition_id), primary_key=True),
    sa.Column("source_partition_id", sa.Integer, sa.ForeignKey(kafka_partition.c.partition_id), primary_key=True),
    sa.Column("status", sa.SmallInteger, comment="0 unread, 1 reading, 2 idle, 3 ended; null before the first mark."),
    sa.Column("next_offset", sa.BigInteger, nullable=False),
    sa.Column("high_time", timestamp, comment="The newest published_at seen; never goes back."),
    sa.Column("ended_at", timestamp),
    sa.Column("fan_out", sa.Integer, nullable=False),
    _recorded_at(),
    postgresql_with={"fillfactor": 50},
    comment="What each partition of scored knows of how far each source partition has come.",
)

refusal = sa.Table(
    "refusal",
    metadata,
    sa.Column("partition_id", sa.Integer, sa.ForeignKey(kafka_partition.c.partition_id), primary_key=True),
    sa.Column("message_offset", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    _recorded_at(),
    comment="Messages of scored whose document Postgres can't hold; they went to the dead letters.",
)

# --- documents and their scores --------------------------------------------------------------------------------------

document = sa.Table(
    "document",
    metadata,
    sa.Column("published_at", timestamp, primary_key=True),
    sa.Column("received_at", timestamp, nullable=False),
    _recorded_at(),
    sa.Column("source_id", sa.Integer, comment="publisher_id of the source."),
    sa.Column("author_id", sa.Integer, comment="publisher_id of the author."),
    sa.Column("kind", sa.SmallInteger, nullable=False, comment="0 news, 1 comment."),
    sa.Column("unscored", sa.SmallInteger, comment="Why it has no score; null when it has one. 1: language."),
    sa.Column("late", sa.Boolean, nullable=False),
    sa.Column("document_id", sa.LargeBinary, primary_key=True),
    sa.Column("given_id", sa.Text, nullable=False),
    sa.Column("lang", sa.Text),
    sa.Column("symbols", pg.ARRAY(sa.Text), nullable=False),
    sa.Index("document_source", "source_id", "published_at"),
    postgresql_partition_by="RANGE (published_at)",
    comment="Documents, without their texts.",
)

document_text = sa.Table(
    "document_text",
    metadata,
    sa.Column("published_at", timestamp, primary_key=True),
    _recorded_at(),
    sa.Column("document_id", sa.LargeBinary, primary_key=True),
    sa.Column("title", sa.Text),
    sa.Column("url", sa.Text),
    sa.Column("text", sa.Text, nullable=False),
    postgresql_partition_by="RANGE (published_at)",
    comment="The words of documents.",
)

score = sa.Table(
    "score",
    metadata,
    sa.Column("published_at", timestamp, primary_key=True),
    _recorded_at(),
    sa.Column("negative", sa.Double, nullable=False),
    sa.Column("neutral", sa.Double, nullable=False),
    sa.Column("positive", sa.Double, nullable=False),
    sa.Column("model_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("topic_subject_id", sa.Integer, nullable=False, comment="subject_id of the most probable topic."),
    sa.Column("polarity", sa.SmallInteger, nullable=False, comment="positive - negative, in ten-thousandths."),
    sa.Column("label", sa.SmallInteger, nullable=False, comment="-1 negative, 0 neutral, 1 positive."),
    sa.Column("document_id", sa.LargeBinary, primary_key=True),
    sa.Column("probabilities", pg.ARRAY(sa.REAL), nullable=False, comment="Of all labels in model.labels, in order."),
    sa.Column("input_hash", sa.Text, nullable=False),
    sa.Column("config_hash", sa.Text, nullable=False),
    sa.Column(
        "entities",
        pg.JSONB,
        comment="What is said of symbols that the text names: {symbol: {label: probability}}; null: of none.",
    ),
    sa.PrimaryKeyConstraint("published_at", "document_id", "model_id"),
    postgresql_partition_by="RANGE (published_at)",
    comment="What a model said of a document; never changed.",
)

mention = sa.Table(
    "mention",
    metadata,
    sa.Column("published_at", timestamp, primary_key=True),
    _recorded_at(),
    sa.Column("subject_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("publisher_id", sa.Integer, comment="Null: unknown."),
    sa.Column("polarity", sa.SmallInteger, nullable=False, comment="Of what is said of the subject."),
    sa.Column("label", sa.SmallInteger, nullable=False, comment="Likewise."),
    sa.Column("late", sa.Boolean, nullable=False),
    sa.Column("document_id", sa.LargeBinary, primary_key=True),
    sa.PrimaryKeyConstraint("subject_id", "published_at", "document_id"),
    sa.Index(
        "mention_negative",
        "subject_id",
        "published_at",
        "polarity",
        postgresql_where=sa.text("label = -1 AND NOT late"),
    ),
    postgresql_partition_by="RANGE (published_at)",
    comment="One row for each subject that a scored document concerns.",
)

rollup_minute = sa.Table(
    "rollup_minute",
    metadata,
    sa.Column("minute", timestamp, primary_key=True),
    _recorded_at(),
    sa.Column("polarity_sum", sa.BigInteger, nullable=False),
    sa.Column("polarity_squares", sa.BigInteger, nullable=False),
    sa.Column("subject_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("negative", sa.Integer, nullable=False),
    sa.Column("neutral", sa.Integer, nullable=False),
    sa.Column("positive", sa.Integer, nullable=False),
    sa.Column("late", sa.Boolean, primary_key=True, comment="Late documents are counted in rows of their own."),
    sa.PrimaryKeyConstraint("subject_id", "minute", "late"),
    sa.Index("rollup_minute_minute", "minute"),
    postgresql_partition_by="RANGE (minute)",
    comment="Sums of mentions by subject and minute of published_at.",
)

PARTITIONED: Sequence[sa.Table] = (document, document_text, score, mention, rollup_minute)

# --- alerts ----------------------------------------------------------------------------------------------------------

watch = sa.Table(
    "watch",
    metadata,
    sa.Column("watch_id", sa.SmallInteger, primary_key=True, autoincrement=False, server_default=sa.text("1")),
    sa.Column("evaluated_through", timestamp, comment="The newest minute boundary evaluated; null: none ever was."),
    _recorded_at(),
    sa.CheckConstraint("watch_id = 1", name="watch_id"),
    comment="One row: how far the rules have been evaluated. Its row lock puts watchers in order.",
)

alert = sa.Table(
    "alert",
    metadata,
    sa.Column("alert_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False, comment="Of rule and subject."),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("subject_kind", sa.Text, nullable=False),
    sa.Column("subject_name", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("starts_at", timestamp, nullable=False),
    sa.Column("fired_at", timestamp),
    sa.Column("ends_at", timestamp),
    sa.Column("clear_since", timestamp),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("baseline", sa.Double, nullable=False),
    sa.Column("baseline_minutes", sa.Integer, nullable=False),
    sa.Column("evidence", pg.JSONB),
    _recorded_at(),
    sa.UniqueConstraint("fingerprint", "starts_at"),
    sa.CheckConstraint("status IN ('pending', 'firing', 'resolved')", name="status"),
    sa.Index("alert_open", "fingerprint", unique=True, postgresql_where=sa.text("status <> 'resolved'")),
    sa.Index("alert_starts_at", "starts_at"),
    comment="Alerts; at most one is open for a fingerprint. recorded_at is that of the newest change.",
)

notification = sa.Table(
    "notification",
    metadata,
    sa.Column("notification_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("webhook_id", sa.Text, nullable=False),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("starts_at", timestamp, nullable=False),
    sa.Column("transition", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False, comment="The exact bytes that are signed and sent."),
    sa.Column(
        "due_at",
        timestamp,
        server_default=sa.text("now()"),
        comment="When to try next, or when the lease runs out; null when it is done.",
    ),
    sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("lease_token", sa.Text),
    sa.Column("outcome", sa.Text, comment="How it ended: delivered or failed."),
    _recorded_at(),
    sa.UniqueConstraint("webhook_id", "receiver"),
    sa.ForeignKeyConstraint(["fingerprint", "starts_at"], [alert.c.fingerprint, alert.c.starts_at]),
    sa.CheckConstraint("(due_at IS NULL) = (outcome IS NOT NULL)", name="outcome"),
    sa.Index("notification_due", "due_at", postgresql_where=sa.text("due_at IS NOT NULL")),
    sa.Index("notification_alert", "fingerprint", "starts_at", "receiver"),
    comment="The outbox: messages to receivers about transitions of alerts.",
)

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("delivery_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("webhook_id", sa.Text, nullable=False),
    sa.Column("receiver", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("status_code", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("at", timestamp, nullable=False),
    sa.Column("duration", sa.Double, nullable=False, comment="Seconds."),
    _recorded_at(),
    sa.ForeignKeyConstraint(["webhook_id", "receiver"], [notification.c.webhook_id, notification.c.receiver]),
    sa.Index("delivery_at", "at"),
    sa.Index("delivery_fingerprint", "fingerprint", "at"),
    comment="Every attempt at sending a notification.",
)

# --- models: which there are, and which is in force ------------------------------------------------------------------

registered_model = sa.Table(
    "registered_model",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("location", sa.Text, nullable=False, comment="The path of its folder, or the name of one that ships."),
    sa.Column("figures", pg.JSONB, nullable=False, comment="How good it is, by evaluation set."),
    _recorded_at(),
    comment="Models that may be promoted.",
)

promotion = sa.Table(
    "promotion",
    metadata,
    sa.Column("promotion_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("name", sa.Text, comment="The model in force from here on; null: none is promoted."),
    sa.Column("version", sa.Text),
    sa.Column("replaced_name", sa.Text, comment="The model in force until here; null: none was promoted."),
    sa.Column("replaced_version", sa.Text),
    sa.Column("undoes", sa.BigInteger, sa.ForeignKey("promotion.promotion_id"), comment="What a rollback takes back."),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column(
        "forced", sa.Boolean, nullable=False, server_default=sa.text("false"), comment="Promoted although worse."
    ),
    _recorded_at(),
    sa.UniqueConstraint("undoes"),
    sa.ForeignKeyConstraint(["name", "version"], [registered_model.c.name, registered_model.c.version]),
    sa.CheckConstraint("(name IS NULL) = (version IS NULL)", name="model"),
    sa.CheckConstraint("name IS NOT NULL OR undoes IS NOT NULL", name="rollback"),
    comment="Changes of the model in force, only ever added: it is the newest one's that isn't a rollback, nor undone.",
)

take_up = sa.Table(
    "take_up",
    metadata,
    sa.Column("take_up_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("worker", sa.Text, nullable=False, comment="Host and process."),
    sa.Column("error", sa.Text, comment="Why it goes on with the model it had; null: it runs this one."),
    _recorded_at(),
    comment="What came of it when workers were to take a model up.",
)

# --- corrections: what people say ------------------------------------------------------------------------------------

correction = sa.Table(
    "correction",
    metadata,
    sa.Column("correction_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("published_at", timestamp, nullable=False, comment="With document_id: the document."),
    _recorded_at(),
    sa.Column("document_id", sa.LargeBinary, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("entity", sa.Text, comment="The symbol that it is about; null: the whole document."),
    sa.Column("label", sa.Text, comment="Null: withdrawn."),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Index("correction_document", "document_id", "task", "entity", "correction_id"),
    comment="Labels that people give documents, only ever added: the newest of a document, task and entity counts.",
)
