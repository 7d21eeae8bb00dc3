-- Corrections: labels that people give documents, and the view that shows them.

CREATE TABLE correction (
    correction_id BIGINT GENERATED ALWAYS AS IDENTITY,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    document_id BYTEA NOT NULL,
    task TEXT NOT NULL,
    entity TEXT,
    label TEXT,
    by TEXT NOT NULL,
    note TEXT NOT NULL,
    CONSTRAINT correction_pkey PRIMARY KEY (correction_id)
);
CREATE INDEX correction_document ON correction (document_id, task, entity, correction_id);
COMMENT ON TABLE correction IS 'Labels that people give documents, only ever added: the newest of a document, task and entity counts.';
COMMENT ON COLUMN correction.published_at IS 'With document_id: the document.';
COMMENT ON COLUMN correction.entity IS 'The symbol that it is about; null: the whole document.';
COMMENT ON COLUMN correction.label IS 'Null: withdrawn.';

CREATE OR REPLACE VIEW sentiment AS
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
              ORDER BY document_id, correction_id DESC) said_topic ON said_topic.document_id = d.document_id;
COMMENT ON COLUMN sentiment."corrected_label" IS 'What a person says in place of label; null when nobody corrected it.';
COMMENT ON COLUMN sentiment."corrected_topic" IS 'What a person says in place of topic; null when nobody corrected it.';
