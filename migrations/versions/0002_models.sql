-- The registry of models: which there are, which is in force, and what workers made of it.

CREATE TABLE registered_model (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    location TEXT NOT NULL,
    figures JSONB NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT registered_model_pkey PRIMARY KEY (name, version)
);
COMMENT ON TABLE registered_model IS 'Models that may be promoted.';
COMMENT ON COLUMN registered_model.location IS 'The path of its folder, or the name of one that ships.';
COMMENT ON COLUMN registered_model.figures IS 'How good it is, by evaluation set.';

CREATE TABLE promotion (
    promotion_id BIGINT GENERATED ALWAYS AS IDENTITY,
    name TEXT,
    version TEXT,
    replaced_name TEXT,
    replaced_version TEXT,
    undoes BIGINT,
    by TEXT NOT NULL,
    reason TEXT NOT NULL,
    forced BOOLEAN DEFAULT false NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT promotion_pkey PRIMARY KEY (promotion_id),
    CONSTRAINT promotion_undoes_key UNIQUE (undoes),
    CONSTRAINT promotion_name_version_fkey FOREIGN KEY(name, version) REFERENCES registered_model (name, version),
    CONSTRAINT promotion_model_check CHECK ((name IS NULL) = (version IS NULL)),
    CONSTRAINT promotion_rollback_check CHECK (name IS NOT NULL OR undoes IS NOT NULL),
    CONSTRAINT promotion_undoes_fkey FOREIGN KEY(undoes) REFERENCES promotion (promotion_id)
);
COMMENT ON TABLE promotion IS 'Changes of the model in force, only ever added: it is the newest one''s that isn''t a rollback, nor undone.';
COMMENT ON COLUMN promotion.name IS 'The model in force from here on; null: none is promoted.';
COMMENT ON COLUMN promotion.replaced_name IS 'The model in force until here; null: none was promoted.';
COMMENT ON COLUMN promotion.undoes IS 'What a rollback takes back.';
COMMENT ON COLUMN promotion.forced IS 'Promoted although worse.';

CREATE TABLE take_up (
    take_up_id BIGINT GENERATED ALWAYS AS IDENTITY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    worker TEXT NOT NULL,
    error TEXT,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT take_up_pkey PRIMARY KEY (take_up_id)
);
COMMENT ON TABLE take_up IS 'What came of it when workers were to take a model up.';
COMMENT ON COLUMN take_up.worker IS 'Host and process.';
COMMENT ON COLUMN take_up.error IS 'Why it goes on with the model it had; null: it runs this one.';

