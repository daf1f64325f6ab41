-- What people decide, and what they may: each version of each thing is a row that is never
-- changed. The newest version holds.

CREATE TABLE fabric.record (
    id bigint NOT NULL,
    kind smallint NOT NULL CONSTRAINT record_kind_is_positive CHECK (kind > 0),
    thing bigint NOT NULL CONSTRAINT record_thing_is_positive CHECK (thing > 0),
    version bigint NOT NULL CONSTRAINT record_version_is_positive CHECK (version > 0),
    body bytea NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
SELECT fabric.partition_by_position('fabric.record', 12, 'kind, thing, version');

-- What holds now, for whoever reads with SQL.
CREATE VIEW fabric.current_record AS
SELECT DISTINCT ON (kind, thing) kind, thing, version, convert_from(body, 'UTF8')::jsonb AS body
FROM fabric.record
ORDER BY kind, thing, version DESC;

GRANT SELECT, INSERT ON fabric.record TO scudo_app;
GRANT SELECT ON fabric.current_record TO scudo_app;
GRANT SELECT ON ALL TABLES IN SCHEMA fabric TO scudo_read;
