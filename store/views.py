"""The views that analysts read: their names and columns stay, whatever becomes of the tables beneath them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

READER_ROLE = "groundswell_reader"
"""May read these views and nothing else. Grant it to the analysts' users."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A view: its query, what it is, and what its columns are."""

    name: str
    query: str
    comment: str
    columns: Mapping[str, str]
    """Column → comment, for all columns."""


_SENTIMENT = View(
    name="sentiment",
    comment="One row for each document and model: what was said, by whom, when, and how it was scored.",
    query="""
SELECT d.published_at,
       CASE d.kind WHEN 0 THEN 'news' WHEN 1 THEN 'comment' END AS kind,
       source.name AS source,
       author.name AS author,
       topic.name AS topic,
       d.symbols,
       CASE s.label WHEN -1 THEN 'negative' WHEN 0 THEN 'neutral' WHEN 1 THEN 'positive' END AS label,
       s.polarity / 10000.0::double precision AS polarity,
       s.negative,
       s.neutral,
       s.positive,
       d.given_id AS id,
       x.title,
       x.text,
       x.url,
       d.lang,
       m.name AS model,
       m.version AS model_version,
       s.input_hash,
       s.config_hash,
       CASE d.unscored WHEN 1 THEN 'language_not_supported' END AS unscored,
       d.late,
       d.received_at,
       d.recorded_at,
       said_sentiment.label AS corrected_label,
       said_topic.label AS corrected_topic
  FROM document d
  LEFT JOIN score s ON s.published_at = d.published_at AND s.document_id = d.document_id
  LEFT JOIN document_text x ON x.published_at = d.published_at AND x.document_id = d.document_id
  LEFT JOIN publisher source ON source.publisher_id = d.source_id
  LEFT JOIN publisher author ON author.publisher_id = d.author_id
  LEFT JOIN subject topic ON topic.subject_id = s.topic_subject_id
  LEFT JOIN model m ON m.model_id = s.model_id
  LEFT JOIN (SELECT DISTINCT ON (document_id) document_id, label FROM correction
              WHERE task = 'sentiment' AND entity IS NULL
              ORDER BY document_id, correction_id DESC) said_sentiment ON said_sentiment.document_id = d.document_id
  LEFT JOIN (SELECT DISTINCT ON (document_id) document_id, label FROM correction
              WHERE task = 'topic' AND entity IS NULL
              ORDER BY document_id, correction_id DESC) said_topic ON said_topic.document_id = d.document_id
""",
    columns=MappingProxyType(
        {
            "published_at": "When it was published (event time). Bound it in every query: it picks the partitions.",
            "kind": "news or comment.",
            "source": "Where it appeared; null when unknown.",
            "author": "Who wrote it; null when unknown.",
            "topic": "The most probable topic; null without a score.",
            "symbols": "Upper-case symbols, in order of appearance.",
            "label": "negative, neutral or positive; null without a score.",
            "polarity": "positive - negative, in [-1, 1], to four decimals.",
            "negative": "Probability in [0, 1].",
            "neutral": "Probability in [0, 1].",
            "positive": "Probability in [0, 1].",
            "id": "The id that the sender gave, or that was derived from source, url and text.",
            "title": "Null when there is none.",
            "text": "The text as it came.",
            "url": "Null when there is none.",
            "lang": "BCP 47 tag as given; null when the sender did not say.",
            "model": "Name of the model that scored it.",
            "model_version": "Hash of the model's weights and settings.",
            "input_hash": "BLAKE2b-128 of the normalised text that the model read.",
            "config_hash": "Hash of the settings that shaped the score.",
            "unscored": "Why it has no score; null when it has one.",
            "late": "It came after its source had moved on by more than the lateness; no rule has seen it.",
            "received_at": "When Kafka received it.",
            "recorded_at": "When it was written here.",
            "corrected_label": "What a person says in place of label; null when nobody corrected it.",
            "corrected_topic": "What a person says in place of topic; null when nobody corrected it.",
        }
    ),
)

_SUMS = {
    "documents": "Documents in time, that is, not late.",
    "negative": "Of these, negative ones.",
    "neutral": "Of these, neutral ones.",
    "positive": "Of these, positive ones.",
    "negative_share": "negative / documents; null when there are none.",
    "polarity": "Mean polarity in [-1, 1]; null when there are no documents.",
    "polarity_stddev": "Population standard deviation of polarity; null when there are no documents.",
    "late_documents": "Documents that came too late for the windows; not in the other columns.",
    "recorded_at": "When this was last added to.",
}


def _rollup(name: str, kind: str, step: str, bucket: str) -> View:
    return View(
        name=name,
        comment=f"Sentiment by {kind} and {step} of published_at; no row for a time without documents.",
        query=f"""
SELECT {step},
       {kind},
       documents,
       negative,
       neutral,
       positive,
       negative::double precision / nullif(documents, 0) AS negative_share,
       polarity_sum::double precision / nullif(documents, 0) / 10000 AS polarity,
       sqrt((polarity_squares * documents - polarity_sum * polarity_sum)::double precision)
           / nullif(documents, 0) / 10000 AS polarity_stddev,
       late_documents,
       recorded_at
  FROM (SELECT {bucket} AS {step},
               s.name AS {kind},
               coalesce(sum(r.count) FILTER (WHERE NOT r.late), 0) AS documents,
               coalesce(sum(r.negative) FILTER (WHERE NOT r.late), 0) AS negative,
               coalesce(sum(r.neutral) FILTER (WHERE NOT r.late), 0) AS neutral,
               coalesce(sum(r.positive) FILTER (WHERE NOT r.late), 0) AS positive,
               sum(r.polarity_sum) FILTER (WHERE NOT r.late) AS polarity_sum,
               sum(r.polarity_squares) FILTER (WHERE NOT r.late) AS polarity_squares,
               coalesce(sum(r.count) FILTER (WHERE r.late), 0) AS late_documents,
               max(r.recorded_at) AS recorded_at
          FROM rollup_minute r
          JOIN subject s ON s.subject_id = r.subject_id
         WHERE s.kind = '{kind}'
         GROUP BY 1, 2) sums
""",  # noqa: S608 - the pieces are ours
        columns=MappingProxyType(
            {step: f"Start of the {step} (UTC).", kind: "Its name." if kind == "topic" else "The symbol.", **_SUMS}
        ),
    )


_HOUR = "date_bin('1 hour', r.minute, '1970-01-01 00:00:00+00')"

_ALERT_HISTORY = View(
    name="alert_history",
    comment="Every alert, with its evidence and what became of its notifications.",
    query="""
SELECT a.alert_id,
       a.rule,
       a.subject_kind,
       a.subject_name AS subject,
       a.severity,
       a.status,
       a.starts_at,
       a.fired_at,
       a.ends_at,
       a.ends_at - a.fired_at AS lasted,
       a.value,
       a.baseline,
       a.baseline_minutes,
       (a.evidence ->> 'count')::integer AS documents,
       (a.evidence ->> 'negative')::integer AS negative,
       (a.evidence ->> 'negative_share')::double precision AS negative_share,
       (a.evidence ->> 'negative_publishers')::integer AS negative_publishers,
       a.evidence,
       (SELECT count(*) FROM notification n
         WHERE n.fingerprint = a.fingerprint AND n.starts_at = a.starts_at) AS notifications,
       (SELECT count(*) FROM notification n
         WHERE n.fingerprint = a.fingerprint AND n.starts_at = a.starts_at AND n.outcome = 'delivered') AS delivered,
       a.recorded_at
  FROM alert a
""",
    columns=MappingProxyType(
        {
            "alert_id": "A number of its own.",
            "rule": "The rule that made it.",
            "subject_kind": "topic or entity.",
            "subject": "The topic's name, or the symbol.",
            "severity": "info, warning or critical.",
            "status": "pending, firing or resolved.",
            "starts_at": "The minute boundary (event time) at which the condition first held.",
            "fired_at": "The boundary at which it fired; null while pending.",
            "ends_at": "The boundary at which it resolved; null while open.",
            "lasted": "From firing to resolution.",
            "value": "What the rule measured last (negative documents in the window).",
            "baseline": "What was expected of it, frozen when the alert started.",
            "baseline_minutes": "How many minutes the baseline had observed.",
            "documents": "Documents in the window when it fired.",
            "negative": "Negative ones among them.",
            "negative_share": "negative / documents when it fired.",
            "negative_publishers": "Distinct publishers of the negative ones when it fired.",
            "evidence": "All the evidence as JSON: the most negative documents, the publishers, the models.",
            "notifications": "Messages to receivers about it.",
            "delivered": "Those that were delivered.",
            "recorded_at": "When it was last changed here.",
        }
    ),
)

_ENTITY_SENTIMENT = View(
    name="entity_sentiment",
    comment="One row for each document and symbol: what is said of the one by the other.",
    query="""
SELECT m.published_at,
       entity.name AS entity,
       CASE m.label WHEN -1 THEN 'negative' WHEN 0 THEN 'neutral' WHEN 1 THEN 'positive' END AS label,
       m.polarity / 10000.0::double precision AS polarity,
       coalesce(s.entities ? entity.name, false) AS named,
       d.given_id AS id,
       CASE d.kind WHEN 0 THEN 'news' WHEN 1 THEN 'comment' END AS kind,
       source.name AS source,
       author.name AS author,
       topic.name AS topic,
       x.title,
       x.text,
       x.url,
       model.name AS model,
       model.version AS model_version,
       m.late,
       m.recorded_at,
       said.label AS corrected_label
  FROM mention m
  JOIN subject entity ON entity.subject_id = m.subject_id AND entity.kind = 'entity'
  JOIN document d ON d.published_at = m.published_at AND d.document_id = m.document_id
  JOIN score s ON s.published_at = m.published_at AND s.document_id = m.document_id
  JOIN model ON model.model_id = s.model_id
  LEFT JOIN document_text x ON x.published_at = m.published_at AND x.document_id = m.document_id
  LEFT JOIN publisher source ON source.publisher_id = d.source_id
  LEFT JOIN publisher author ON author.publisher_id = d.author_id
  LEFT JOIN subject topic ON topic.subject_id = s.topic_subject_id
  LEFT JOIN (SELECT DISTINCT ON (document_id, entity) document_id, entity, label FROM correction
              WHERE task = 'entity_sentiment' AND entity IS NOT NULL
              ORDER BY document_id, entity, correction_id DESC) said
         ON said.document_id = m.document_id AND said.entity = entity.name
""",
    columns=MappingProxyType(
        {
            "published_at": _SENTIMENT.columns["published_at"],
            "entity": "The symbol.",
            "label": "negative, neutral or positive: what counts for this symbol.",
            "polarity": _SENTIMENT.columns["polarity"],
            "named": "Whether the text names the symbol and the label is of what it says of it; else of all of it.",
            **{column: _SENTIMENT.columns[column] for column in ("id", "kind", "source", "author", "topic", "title")},
            **{column: _SENTIMENT.columns[column] for column in ("text", "url", "model", "model_version", "late")},
            "recorded_at": _SENTIMENT.columns["recorded_at"],
            "corrected_label": _SENTIMENT.columns["corrected_label"],
        }
    ),
)

VIEWS = (
    _SENTIMENT,
    _ENTITY_SENTIMENT,
    _rollup("topic_sentiment_minute", "topic", "minute", "r.minute"),
    _rollup("topic_sentiment_hourly", "topic", "hour", _HOUR),
    _rollup("entity_sentiment_minute", "entity", "minute", "r.minute"),
    _rollup("entity_sentiment_hourly", "entity", "hour", _HOUR),
    _ALERT_HISTORY,
)


def statements(view: View) -> list[str]:
    """The statements that make a view and say what it is."""
    return [
        f"CREATE VIEW {view.name} AS{view.query.rstrip()}",
        f"COMMENT ON VIEW {view.name} IS {_quoted(view.comment)}",
        *(
            f'COMMENT ON COLUMN {view.name}."{column}" IS {_quoted(comment)}'
            for column, comment in view.columns.items()
        ),
    ]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
