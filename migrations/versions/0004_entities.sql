-- Entities: what a document says of each of its symbols, apart from what it says as a whole.

ALTER TABLE ledger ADD COLUMN polarities SMALLINT[];
ALTER TABLE ledger ADD COLUMN labels SMALLINT[];
COMMENT ON COLUMN ledger.polarities IS 'What it says of each of its subjects, in ten-thousandths; null: polarity of all.';
COMMENT ON COLUMN ledger.labels IS 'The labels that belong to polarities; null: label of all.';

ALTER TABLE score ADD COLUMN entities JSONB;
COMMENT ON COLUMN score.entities IS 'What is said of symbols that the text names: {symbol: {label: probability}}; null: of none.';

COMMENT ON COLUMN mention.polarity IS 'Of what is said of the subject.';
COMMENT ON COLUMN mention.label IS 'Likewise.';

CREATE VIEW entity_sentiment AS
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
         ON said.document_id = m.document_id AND said.entity = entity.name;
COMMENT ON VIEW entity_sentiment IS 'One row for each document and symbol: what is said of the one by the other.';
COMMENT ON COLUMN entity_sentiment."published_at" IS 'When it was published (event time). Bound it in every query: it picks the partitions.';
COMMENT ON COLUMN entity_sentiment."entity" IS 'The symbol.';
COMMENT ON COLUMN entity_sentiment."label" IS 'negative, neutral or positive: what counts for this symbol.';
COMMENT ON COLUMN entity_sentiment."polarity" IS 'positive - negative, in [-1, 1], to four decimals.';
COMMENT ON COLUMN entity_sentiment."named" IS 'Whether the text names the symbol and the label is of what it says of it; else of all of it.';
COMMENT ON COLUMN entity_sentiment."id" IS 'The id that the sender gave, or that was derived from source, url and text.';
COMMENT ON COLUMN entity_sentiment."kind" IS 'news or comment.';
COMMENT ON COLUMN entity_sentiment."source" IS 'Where it appeared; null when unknown.';
COMMENT ON COLUMN entity_sentiment."author" IS 'Who wrote it; null when unknown.';
COMMENT ON COLUMN entity_sentiment."topic" IS 'The most probable topic; null without a score.';
COMMENT ON COLUMN entity_sentiment."title" IS 'Null when there is none.';
COMMENT ON COLUMN entity_sentiment."text" IS 'The text as it came.';
COMMENT ON COLUMN entity_sentiment."url" IS 'Null when there is none.';
COMMENT ON COLUMN entity_sentiment."model" IS 'Name of the model that scored it.';
COMMENT ON COLUMN entity_sentiment."model_version" IS 'Hash of the model''s weights and settings.';
COMMENT ON COLUMN entity_sentiment."late" IS 'It came after its source had moved on by more than the lateness; no rule has seen it.';
COMMENT ON COLUMN entity_sentiment."recorded_at" IS 'When it was written here.';
COMMENT ON COLUMN entity_sentiment."corrected_label" IS 'What a person says in place of label; null when nobody corrected it.';

GRANT SELECT ON entity_sentiment TO groundswell_reader;
