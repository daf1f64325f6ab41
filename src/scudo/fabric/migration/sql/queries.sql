-- lock: one migrates at a time; the lock ends with the session, however that ends
SELECT pg_advisory_lock(7235419000002);

-- unlock: let the next one in
SELECT pg_advisory_unlock(7235419000002);

-- is_prepared: whether this database was ever migrated
SELECT to_regclass('fabric.migration');

-- may_make: whether we may make schemas here
SELECT has_database_privilege(current_database(), 'CREATE');

-- prepare: the book of migrations; the bank at work may check that the database fits the code
CREATE SCHEMA IF NOT EXISTS fabric;
CREATE TABLE fabric.migration (
    room text NOT NULL,
    number integer NOT NULL CONSTRAINT migration_number_is_positive CHECK (number > 0),
    name text NOT NULL,
    digest bytea NOT NULL CONSTRAINT migration_digest_is_sha256 CHECK (octet_length(digest) = 32),
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room, number)
);
GRANT SELECT ON fabric.migration TO scudo_app;

-- applied: everything that this database holds
SELECT room, number, name, digest FROM fabric.migration;

-- limits: rather fail than make payments wait behind a lock
SET LOCAL lock_timeout = '5s';

-- schema: the schema of a room
CREATE SCHEMA IF NOT EXISTS {schema};

-- record: one migration that was applied
INSERT INTO fabric.migration (room, number, name, digest) VALUES (%s, %s, %s, %s);
