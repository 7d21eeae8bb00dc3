-- The history, the roll-ups, the alerts, the outbox, and the views that analysts read.

CREATE TABLE kafka_partition (
    partition_id INTEGER GENERATED ALWAYS AS IDENTITY,
    topic TEXT NOT NULL,
    topic_id UUID NOT NULL,
    number INTEGER NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT kafka_partition_pkey PRIMARY KEY (partition_id),
    CONSTRAINT kafka_partition_topic_id_number_key UNIQUE (topic_id, number)
);
COMMENT ON TABLE kafka_partition IS 'Partitions of Kafka topics, sources and scored alike.';
COMMENT ON COLUMN kafka_partition.topic_id IS 'A topic made anew has another id.';

CREATE TABLE subject (
    subject_id INTEGER GENERATED ALWAYS AS IDENTITY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT subject_pkey PRIMARY KEY (subject_id),
    CONSTRAINT subject_kind_name_key UNIQUE (kind, name),
    CONSTRAINT subject_name_check CHECK (octet_length(name) <= 1024)
);
COMMENT ON TABLE subject IS 'What is watched: topics and entities.';
COMMENT ON COLUMN subject.kind IS 'topic or entity.';

CREATE TABLE publisher (
    publisher_id INTEGER GENERATED ALWAYS AS IDENTITY,
    name TEXT NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT publisher_pkey PRIMARY KEY (publisher_id),
    CONSTRAINT publisher_name_key UNIQUE (name),
    CONSTRAINT publisher_name_check CHECK (octet_length(name) <= 1024)
);
COMMENT ON TABLE publisher IS 'Who speaks: sources and authors.';

CREATE TABLE model (
    model_id INTEGER GENERATED ALWAYS AS IDENTITY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    labels TEXT NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT model_pkey PRIMARY KEY (model_id),
    CONSTRAINT model_name_version_labels_key UNIQUE (name, version, labels)
);
COMMENT ON TABLE model IS 'Models, with the labels they speak in.';
COMMENT ON COLUMN model.labels IS 'The tasks beside sentiment, and their labels in the order of score.probabilities: [["topic", [..]]].';

CREATE TABLE ledger (
    message_offset BIGINT,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    partition_id INTEGER,
    publisher_id INTEGER,
    polarity SMALLINT,
    label SMALLINT,
    late BOOLEAN NOT NULL,
    document_id BYTEA NOT NULL,
    subjects INTEGER[] NOT NULL,
    CONSTRAINT ledger_pkey PRIMARY KEY (document_id),
    CONSTRAINT ledger_published_at_check CHECK (published_at >= '1970-01-01 00:00:00+00')
);
CREATE INDEX ledger_message ON ledger (partition_id, message_offset);
COMMENT ON TABLE ledger IS 'One row per document, ever: the message it counts at, and what it counts as in the windows.';
COMMENT ON COLUMN ledger.partition_id IS 'With message_offset: the message of scored that made it; null when Kafka lost that message after it was recorded.';
COMMENT ON COLUMN ledger.publisher_id IS 'Null: unknown.';
COMMENT ON COLUMN ledger.polarity IS 'In ten-thousandths; null without a score.';
COMMENT ON COLUMN ledger.label IS '-1 negative, 0 neutral, 1 positive; null without a score.';
COMMENT ON COLUMN ledger.late IS 'Older than its source partition had come, less lateness.';
COMMENT ON COLUMN ledger.document_id IS 'BLAKE2b-128 of the given id.';
COMMENT ON COLUMN ledger.subjects IS 'subject_id of each subject it concerns.';

CREATE TABLE progress (
    partition_id INTEGER NOT NULL,
    next_offset BIGINT NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT progress_pkey PRIMARY KEY (partition_id),
    CONSTRAINT progress_partition_id_fkey FOREIGN KEY(partition_id) REFERENCES kafka_partition (partition_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE progress IS 'How far each partition of scored is recorded. Its row lock puts the writers of a partition in order.';

CREATE TABLE mark (
    scored_partition_id INTEGER NOT NULL,
    source_partition_id INTEGER NOT NULL,
    status SMALLINT,
    next_offset BIGINT NOT NULL,
    high_time TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    fan_out INTEGER NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT mark_pkey PRIMARY KEY (scored_partition_id, source_partition_id),
    CONSTRAINT mark_scored_partition_id_fkey FOREIGN KEY(scored_partition_id) REFERENCES kafka_partition (partition_id),
    CONSTRAINT mark_source_partition_id_fkey FOREIGN KEY(source_partition_id) REFERENCES kafka_partition (partition_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE mark IS 'What each partition of scored knows of how far each source partition has come.';
COMMENT ON COLUMN mark.status IS '0 unread, 1 reading, 2 idle, 3 ended; null before the first mark.';
COMMENT ON COLUMN mark.high_time IS 'The newest published_at seen; never goes back.';

CREATE TABLE refusal (
    partition_id INTEGER NOT NULL,
    message_offset BIGINT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT refusal_pkey PRIMARY KEY (partition_id, message_offset),
    CONSTRAINT refusal_partition_id_fkey FOREIGN KEY(partition_id) REFERENCES kafka_partition (partition_id)
);
COMMENT ON TABLE refusal IS 'Messages of scored whose document Postgres can''t hold; they went to the dead letters.';

CREATE TABLE document (
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    source_id INTEGER,
    author_id INTEGER,
    kind SMALLINT NOT NULL,
    unscored SMALLINT,
    late BOOLEAN NOT NULL,
    document_id BYTEA NOT NULL,
    given_id TEXT NOT NULL,
    lang TEXT,
    symbols TEXT[] NOT NULL,
    CONSTRAINT document_pkey PRIMARY KEY (published_at, document_id)
) PARTITION BY RANGE (published_at);
CREATE INDEX document_source ON document (source_id, published_at);
COMMENT ON TABLE document IS 'Documents, without their texts.';
COMMENT ON COLUMN document.source_id IS 'publisher_id of the source.';
COMMENT ON COLUMN document.author_id IS 'publisher_id of the author.';
COMMENT ON COLUMN document.kind IS '0 news, 1 comment.';
COMMENT ON COLUMN document.unscored IS 'Why it has no score; null when it has one. 1: language.';

CREATE TABLE document_text (
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    document_id BYTEA NOT NULL,
    title TEXT,
    url TEXT,
    text TEXT NOT NULL,
    CONSTRAINT document_text_pkey PRIMARY KEY (published_at, document_id)
) PARTITION BY RANGE (published_at);
COMMENT ON TABLE document_text IS 'The words of documents.';

CREATE TABLE score (
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    negative DOUBLE PRECISION NOT NULL,
    neutral DOUBLE PRECISION NOT NULL,
    positive DOUBLE PRECISION NOT NULL,
    model_id INTEGER NOT NULL,
    topic_subject_id INTEGER NOT NULL,
    polarity SMALLINT NOT NULL,
    label SMALLINT NOT NULL,
    document_id BYTEA NOT NULL,
    probabilities REAL[] NOT NULL,
    input_hash TEXT NOT NULL,
    config_hash TEXT NOT NULL,
    CONSTRAINT score_pkey PRIMARY KEY (published_at, document_id, model_id)
) PARTITION BY RANGE (published_at);
COMMENT ON TABLE score IS 'What a model said of a document; never changed.';
COMMENT ON COLUMN score.topic_subject_id IS 'subject_id of the most probable topic.';
COMMENT ON COLUMN score.polarity IS 'positive - negative, in ten-thousandths.';
COMMENT ON COLUMN score.label IS '-1 negative, 0 neutral, 1 positive.';
COMMENT ON COLUMN score.probabilities IS 'Of all labels in model.labels, in order.';

CREATE TABLE mention (
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    subject_id INTEGER NOT NULL,
    publisher_id INTEGER,
    polarity SMALLINT NOT NULL,
    label SMALLINT NOT NULL,
    late BOOLEAN NOT NULL,
    document_id BYTEA NOT NULL,
    CONSTRAINT mention_pkey PRIMARY KEY (subject_id, published_at, document_id)
) PARTITION BY RANGE (published_at);
CREATE INDEX mention_negative ON mention (subject_id, published_at, polarity) WHERE label = -1 AND NOT late;
COMMENT ON TABLE mention IS 'One row for each subject that a scored document concerns.';
COMMENT ON COLUMN mention.publisher_id IS 'Null: unknown.';

CREATE TABLE rollup_minute (
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    polarity_sum BIGINT NOT NULL,
    polarity_squares BIGINT NOT NULL,
    subject_id INTEGER NOT NULL,
    count INTEGER NOT NULL,
    negative INTEGER NOT NULL,
    neutral INTEGER NOT NULL,
    positive INTEGER NOT NULL,
    late BOOLEAN NOT NULL,
    CONSTRAINT rollup_minute_pkey PRIMARY KEY (subject_id, minute, late)
) PARTITION BY RANGE (minute);
CREATE INDEX rollup_minute_minute ON rollup_minute (minute);
COMMENT ON TABLE rollup_minute IS 'Sums of mentions by subject and minute of published_at.';
COMMENT ON COLUMN rollup_minute.late IS 'Late documents are counted in rows of their own.';

CREATE TABLE watch (
    watch_id SMALLINT DEFAULT 1 NOT NULL,
    evaluated_through TIMESTAMP WITH TIME ZONE,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT watch_pkey PRIMARY KEY (watch_id),
    CONSTRAINT watch_watch_id_check CHECK (watch_id = 1)
);
COMMENT ON TABLE watch IS 'One row: how far the rules have been evaluated. Its row lock puts watchers in order.';
COMMENT ON COLUMN watch.evaluated_through IS 'The newest minute boundary evaluated; null: none ever was.';

CREATE TABLE alert (
    alert_id BIGINT GENERATED ALWAYS AS IDENTITY,
    fingerprint TEXT NOT NULL,
    rule TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_name TEXT NOT NULL,
    severity TEXT NOT NULL,
    status TEXT NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    fired_at TIMESTAMP WITH TIME ZONE,
    ends_at TIMESTAMP WITH TIME ZONE,
    clear_since TIMESTAMP WITH TIME ZONE,
    value DOUBLE PRECISION NOT NULL,
    baseline DOUBLE PRECISION NOT NULL,
    baseline_minutes INTEGER NOT NULL,
    evidence JSONB,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT alert_pkey PRIMARY KEY (alert_id),
    CONSTRAINT alert_fingerprint_starts_at_key UNIQUE (fingerprint, starts_at),
    CONSTRAINT alert_status_check CHECK (status IN ('pending', 'firing', 'resolved'))
);
CREATE UNIQUE INDEX alert_open ON alert (fingerprint) WHERE status <> 'resolved';
CREATE INDEX alert_starts_at ON alert (starts_at);
COMMENT ON TABLE alert IS 'Alerts; at most one is open for a fingerprint. recorded_at is that of the newest change.';
COMMENT ON COLUMN alert.fingerprint IS 'Of rule and subject.';

CREATE TABLE notification (
    notification_id BIGINT GENERATED ALWAYS AS IDENTITY,
    webhook_id TEXT NOT NULL,
    receiver TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
    transition TEXT NOT NULL,
    payload BYTEA NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now(),
    attempts INTEGER DEFAULT 0 NOT NULL,
    lease_token TEXT,
    outcome TEXT,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT notification_pkey PRIMARY KEY (notification_id),
    CONSTRAINT notification_webhook_id_receiver_key UNIQUE (webhook_id, receiver),
    CONSTRAINT notification_fingerprint_starts_at_fkey FOREIGN KEY(fingerprint, starts_at) REFERENCES alert (fingerprint, starts_at),
    CONSTRAINT notification_outcome_check CHECK ((due_at IS NULL) = (outcome IS NOT NULL))
);
CREATE INDEX notification_due ON notification (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX notification_alert ON notification (fingerprint, starts_at, receiver);
COMMENT ON TABLE notification IS 'The outbox: messages to receivers about transitions of alerts.';
COMMENT ON COLUMN notification.payload IS 'The exact bytes that are signed and sent.';
COMMENT ON COLUMN notification.due_at IS 'When to try next, or when the lease runs out; null when it is done.';
COMMENT ON COLUMN notification.outcome IS 'How it ended: delivered or failed.';

CREATE TABLE delivery (
    delivery_id BIGINT GENERATED ALWAYS AS IDENTITY,
    webhook_id TEXT NOT NULL,
    receiver TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    status_code INTEGER,
    error TEXT,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    duration DOUBLE PRECISION NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT delivery_pkey PRIMARY KEY (delivery_id),
    CONSTRAINT delivery_webhook_id_receiver_fkey FOREIGN KEY(webhook_id, receiver) REFERENCES notification (webhook_id, receiver)
);
CREATE INDEX delivery_at ON delivery (at);
CREATE INDEX delivery_fingerprint ON delivery (fingerprint, at);
COMMENT ON TABLE delivery IS 'Every attempt at sending a notification.';
COMMENT ON COLUMN delivery.duration IS 'Seconds.';

CREATE VIEW sentiment AS
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
       d.recorded_at
  FROM document d
  LEFT JOIN score s ON s.published_at = d.published_at AND s.document_id = d.document_id
  LEFT JOIN document_text x ON x.published_at = d.published_at AND x.document_id = d.document_id
  LEFT JOIN publisher source ON source.publisher_id = d.source_id
  LEFT JOIN publisher author ON author.publisher_id = d.author_id
  LEFT JOIN subject topic ON topic.subject_id = s.topic_subject_id
  LEFT JOIN model m ON m.model_id = s.model_id;
COMMENT ON VIEW sentiment IS 'One row for each document and model: what was said, by whom, when, and how it was scored.';
COMMENT ON COLUMN sentiment."published_at" IS 'When it was published (event time). Bound it in every query: it picks the partitions.';
COMMENT ON COLUMN sentiment."kind" IS 'news or comment.';
COMMENT ON COLUMN sentiment."source" IS 'Where it appeared; null when unknown.';
COMMENT ON COLUMN sentiment."author" IS 'Who wrote it; null when unknown.';
COMMENT ON COLUMN sentiment."topic" IS 'The most probable topic; null without a score.';
COMMENT ON COLUMN sentiment."symbols" IS 'Upper-case symbols, in order of appearance.';
COMMENT ON COLUMN sentiment."label" IS 'negative, neutral or positive; null without a score.';
COMMENT ON COLUMN sentiment."polarity" IS 'positive - negative, in [-1, 1], to four decimals.';
COMMENT ON COLUMN sentiment."negative" IS 'Probability in [0, 1].';
COMMENT ON COLUMN sentiment."neutral" IS 'Probability in [0, 1].';
COMMENT ON COLUMN sentiment."positive" IS 'Probability in [0, 1].';
COMMENT ON COLUMN sentiment."id" IS 'The id that the sender gave, or that was derived from source, url and text.';
COMMENT ON COLUMN sentiment."title" IS 'Null when there is none.';
COMMENT ON COLUMN sentiment."text" IS 'The text as it came.';
COMMENT ON COLUMN sentiment."url" IS 'Null when there is none.';
COMMENT ON COLUMN sentiment."lang" IS 'BCP 47 tag as given; null when the sender did not say.';
COMMENT ON COLUMN sentiment."model" IS 'Name of the model that scored it.';
COMMENT ON COLUMN sentiment."model_version" IS 'Hash of the model''s weights and settings.';
COMMENT ON COLUMN sentiment."input_hash" IS 'BLAKE2b-128 of the normalised text that the model read.';
COMMENT ON COLUMN sentiment."config_hash" IS 'Hash of the settings that shaped the score.';
COMMENT ON COLUMN sentiment."unscored" IS 'Why it has no score; null when it has one.';
COMMENT ON COLUMN sentiment."late" IS 'It came after its source had moved on by more than the lateness; no rule has seen it.';
COMMENT ON COLUMN sentiment."received_at" IS 'When Kafka received it.';
COMMENT ON COLUMN sentiment."recorded_at" IS 'When it was written here.';

CREATE VIEW topic_sentiment_minute AS
SELECT minute,
       topic,
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
  FROM (SELECT r.minute AS minute,
               s.name AS topic,
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
         WHERE s.kind = 'topic'
         GROUP BY 1, 2) sums;
COMMENT ON VIEW topic_sentiment_minute IS 'Sentiment by topic and minute of published_at; no row for a time without documents.';
COMMENT ON COLUMN topic_sentiment_minute."minute" IS 'Start of the minute (UTC).';
COMMENT ON COLUMN topic_sentiment_minute."topic" IS 'Its name.';
COMMENT ON COLUMN topic_sentiment_minute."documents" IS 'Documents in time, that is, not late.';
COMMENT ON COLUMN topic_sentiment_minute."negative" IS 'Of these, negative ones.';
COMMENT ON COLUMN topic_sentiment_minute."neutral" IS 'Of these, neutral ones.';
COMMENT ON COLUMN topic_sentiment_minute."positive" IS 'Of these, positive ones.';
COMMENT ON COLUMN topic_sentiment_minute."negative_share" IS 'negative / documents; null when there are none.';
COMMENT ON COLUMN topic_sentiment_minute."polarity" IS 'Mean polarity in [-1, 1]; null when there are no documents.';
COMMENT ON COLUMN topic_sentiment_minute."polarity_stddev" IS 'Population standard deviation of polarity; null when there are no documents.';
COMMENT ON COLUMN topic_sentiment_minute."late_documents" IS 'Documents that came too late for the windows; not in the other columns.';
COMMENT ON COLUMN topic_sentiment_minute."recorded_at" IS 'When this was last added to.';

CREATE VIEW topic_sentiment_hourly AS
SELECT hour,
       topic,
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
  FROM (SELECT date_bin('1 hour', r.minute, '1970-01-01 00:00:00+00') AS hour,
               s.name AS topic,
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
         WHERE s.kind = 'topic'
         GROUP BY 1, 2) sums;
COMMENT ON VIEW topic_sentiment_hourly IS 'Sentiment by topic and hour of published_at; no row for a time without documents.';
COMMENT ON COLUMN topic_sentiment_hourly."hour" IS 'Start of the hour (UTC).';
COMMENT ON COLUMN topic_sentiment_hourly."topic" IS 'Its name.';
COMMENT ON COLUMN topic_sentiment_hourly."documents" IS 'Documents in time, that is, not late.';
COMMENT ON COLUMN topic_sentiment_hourly."negative" IS 'Of these, negative ones.';
COMMENT ON COLUMN topic_sentiment_hourly."neutral" IS 'Of these, neutral ones.';
COMMENT ON COLUMN topic_sentiment_hourly."positive" IS 'Of these, positive ones.';
COMMENT ON COLUMN topic_sentiment_hourly."negative_share" IS 'negative / documents; null when there are none.';
COMMENT ON COLUMN topic_sentiment_hourly."polarity" IS 'Mean polarity in [-1, 1]; null when there are no documents.';
COMMENT ON COLUMN topic_sentiment_hourly."polarity_stddev" IS 'Population standard deviation of polarity; null when there are no documents.';
COMMENT ON COLUMN topic_sentiment_hourly."late_documents" IS 'Documents that came too late for the windows; not in the other columns.';
COMMENT ON COLUMN topic_sentiment_hourly."recorded_at" IS 'When this was last added to.';

CREATE VIEW entity_sentiment_minute AS
SELECT minute,
       entity,
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
  FROM (SELECT r.minute AS minute,
               s.name AS entity,
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
         WHERE s.kind = 'entity'
         GROUP BY 1, 2) sums;
COMMENT ON VIEW entity_sentiment_minute IS 'Sentiment by entity and minute of published_at; no row for a time without documents.';
COMMENT ON COLUMN entity_sentiment_minute."minute" IS 'Start of the minute (UTC).';
COMMENT ON COLUMN entity_sentiment_minute."entity" IS 'The symbol.';
COMMENT ON COLUMN entity_sentiment_minute."documents" IS 'Documents in time, that is, not late.';
COMMENT ON COLUMN entity_sentiment_minute."negative" IS 'Of these, negative ones.';
COMMENT ON COLUMN entity_sentiment_minute."neutral" IS 'Of these, neutral ones.';
COMMENT ON COLUMN entity_sentiment_minute."positive" IS 'Of these, positive ones.';
COMMENT ON COLUMN entity_sentiment_minute."negative_share" IS 'negative / documents; null when there are none.';
COMMENT ON COLUMN entity_sentiment_minute."polarity" IS 'Mean polarity in [-1, 1]; null when there are no documents.';
COMMENT ON COLUMN entity_sentiment_minute."polarity_stddev" IS 'Population standard deviation of polarity; null when there are no documents.';
COMMENT ON COLUMN entity_sentiment_minute."late_documents" IS 'Documents that came too late for the windows; not in the other columns.';
COMMENT ON COLUMN entity_sentiment_minute."recorded_at" IS 'When this was last added to.';

CREATE VIEW entity_sentiment_hourly AS
SELECT hour,
       entity,
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
  FROM (SELECT date_bin('1 hour', r.minute, '1970-01-01 00:00:00+00') AS hour,
               s.name AS entity,
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
         WHERE s.kind = 'entity'
         GROUP BY 1, 2) sums;
COMMENT ON VIEW entity_sentiment_hourly IS 'Sentiment by entity and hour of published_at; no row for a time without documents.';
COMMENT ON COLUMN entity_sentiment_hourly."hour" IS 'Start of the hour (UTC).';
COMMENT ON COLUMN entity_sentiment_hourly."entity" IS 'The symbol.';
COMMENT ON COLUMN entity_sentiment_hourly."documents" IS 'Documents in time, that is, not late.';
COMMENT ON COLUMN entity_sentiment_hourly."negative" IS 'Of these, negative ones.';
COMMENT ON COLUMN entity_sentiment_hourly."neutral" IS 'Of these, neutral ones.';
COMMENT ON COLUMN entity_sentiment_hourly."positive" IS 'Of these, positive ones.';
COMMENT ON COLUMN entity_sentiment_hourly."negative_share" IS 'negative / documents; null when there are none.';
COMMENT ON COLUMN entity_sentiment_hourly."polarity" IS 'Mean polarity in [-1, 1]; null when there are no documents.';
COMMENT ON COLUMN entity_sentiment_hourly."polarity_stddev" IS 'Population standard deviation of polarity; null when there are no documents.';
COMMENT ON COLUMN entity_sentiment_hourly."late_documents" IS 'Documents that came too late for the windows; not in the other columns.';
COMMENT ON COLUMN entity_sentiment_hourly."recorded_at" IS 'When this was last added to.';

CREATE VIEW alert_history AS
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
  FROM alert a;
COMMENT ON VIEW alert_history IS 'Every alert, with its evidence and what became of its notifications.';
COMMENT ON COLUMN alert_history."alert_id" IS 'A number of its own.';
COMMENT ON COLUMN alert_history."rule" IS 'The rule that made it.';
COMMENT ON COLUMN alert_history."subject_kind" IS 'topic or entity.';
COMMENT ON COLUMN alert_history."subject" IS 'The topic''s name, or the symbol.';
COMMENT ON COLUMN alert_history."severity" IS 'info, warning or critical.';
COMMENT ON COLUMN alert_history."status" IS 'pending, firing or resolved.';
COMMENT ON COLUMN alert_history."starts_at" IS 'The minute boundary (event time) at which the condition first held.';
COMMENT ON COLUMN alert_history."fired_at" IS 'The boundary at which it fired; null while pending.';
COMMENT ON COLUMN alert_history."ends_at" IS 'The boundary at which it resolved; null while open.';
COMMENT ON COLUMN alert_history."lasted" IS 'From firing to resolution.';
COMMENT ON COLUMN alert_history."value" IS 'What the rule measured last (negative documents in the window).';
COMMENT ON COLUMN alert_history."baseline" IS 'What was expected of it, frozen when the alert started.';
COMMENT ON COLUMN alert_history."baseline_minutes" IS 'How many minutes the baseline had observed.';
COMMENT ON COLUMN alert_history."documents" IS 'Documents in the window when it fired.';
COMMENT ON COLUMN alert_history."negative" IS 'Negative ones among them.';
COMMENT ON COLUMN alert_history."negative_share" IS 'negative / documents when it fired.';
COMMENT ON COLUMN alert_history."negative_publishers" IS 'Distinct publishers of the negative ones when it fired.';
COMMENT ON COLUMN alert_history."evidence" IS 'All the evidence as JSON: the most negative documents, the publishers, the models.';
COMMENT ON COLUMN alert_history."notifications" IS 'Messages to receivers about it.';
COMMENT ON COLUMN alert_history."delivered" IS 'Those that were delivered.';
COMMENT ON COLUMN alert_history."recorded_at" IS 'When it was last changed here.';

-- A role belongs to the whole cluster: another database's migration may have made it, or be making it now.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'groundswell_reader') THEN
        CREATE ROLE groundswell_reader NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

GRANT SELECT ON sentiment, topic_sentiment_minute, topic_sentiment_hourly, entity_sentiment_minute, entity_sentiment_hourly, alert_history TO groundswell_reader;

-- The views join tables that are split at the same months: let a bound on one of them prune all.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET enable_partitionwise_join = on', current_database());
END
$$;
