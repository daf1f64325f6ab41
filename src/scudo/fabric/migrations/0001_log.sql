-- The log of one unit: one head row, batches chained by hash, entries of events, and the
-- idempotency keys. Rows of log_batch, log_entry and idempotency are never changed.

CREATE TABLE fabric.log_head (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT log_head_is_one_row CHECK (only_row),
    epoch bigint NOT NULL,
    position bigint NOT NULL,
    ordered_at bigint NOT NULL,
    batch bigint NOT NULL,
    hash bytea NOT NULL CONSTRAINT log_head_hash_is_a_digest CHECK (octet_length(hash) = 32),
    clock text NOT NULL CONSTRAINT log_head_clock_is_known CHECK (clock IN ('unset', 'file', 'live'))
) WITH (fillfactor = 20);
INSERT INTO fabric.log_head (epoch, position, ordered_at, batch, hash, clock)
VALUES (0, 0, 0, 0, decode(repeat('00', 32), 'hex'), 'unset');

-- Who holds the current epoch; seen_at is its heartbeat.
CREATE TABLE fabric.writer (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT writer_is_one_row CHECK (only_row),
    epoch bigint NOT NULL,
    backend_pid integer NOT NULL,
    backend_started_at timestamptz NOT NULL,
    description text NOT NULL,
    seen_at timestamptz
) WITH (fillfactor = 20);

CREATE TABLE fabric.log_batch (
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    number bigint NOT NULL,
    epoch bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    leaves integer NOT NULL,
    -- Four bytes for every leaf after the first: they name the row that does not fit the root.
    outline bytea STORAGE EXTERNAL NOT NULL,
    root bytea NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (first_position),
    CONSTRAINT log_batch_is_not_empty CHECK (last_position >= first_position)
) PARTITION BY RANGE (first_position);

-- What one command did: its events (positions position .. position + event_count - 1), the
-- canonical command, and the exact answer that was given.
CREATE TABLE fabric.log_entry (
    position bigint NOT NULL,
    ordered_at timestamptz NOT NULL,
    correlation bigint NOT NULL,
    client bigint NOT NULL,
    event_count smallint NOT NULL CONSTRAINT log_entry_has_events CHECK (event_count > 0),
    status smallint NOT NULL,
    command bytea NOT NULL,
    events bytea NOT NULL,
    answer bytea NOT NULL,
    PRIMARY KEY (position)
) PARTITION BY RANGE (position);

-- For ever: which entry answered a client's key, and a digest of the request it came with.
CREATE TABLE fabric.idempotency (
    key uuid NOT NULL,
    request uuid NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (key)
) PARTITION BY HASH (key);
DO $$
BEGIN
    FOR remainder IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE fabric.idempotency_h%s PARTITION OF fabric.idempotency '
            'FOR VALUES WITH (MODULUS 16, REMAINDER %s)', remainder, remainder);
    END LOOP;
END $$;

-- Where each consumer of the log stands.
CREATE TABLE fabric.consumer (
    name text PRIMARY KEY,
    position bigint NOT NULL CONSTRAINT consumer_position_is_not_negative CHECK (position >= 0)
) WITH (fillfactor = 20);

-- Tables that grow are partitioned by log position; `shift` says how many low bits of the
-- partition key lie below the position, `unique_within` which columns are unique inside each
-- partition (PostgreSQL cannot have them unique across partitions without the partition key).
CREATE TABLE fabric.growing (
    parent regclass PRIMARY KEY,
    shift integer NOT NULL,
    unique_within text[] NOT NULL,
    covered_through bigint NOT NULL DEFAULT 0
);
CREATE TABLE fabric.growth (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT growth_is_one_row CHECK (only_row),
    width bigint NOT NULL CONSTRAINT growth_width_is_positive CHECK (width > 0)
);
INSERT INTO fabric.growth (width) VALUES (268435456);

CREATE FUNCTION fabric.partition_by_position(
    parent regclass, shift integer, VARIADIC unique_within text[] DEFAULT '{}'
) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fabric.growing (parent, shift, unique_within) VALUES (parent, shift, unique_within)
$$;

-- Make sure that every growing table has partitions for the positions up to `through`, and
-- return the last position that all of them cover.
CREATE FUNCTION fabric.grow(through bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    step bigint := (SELECT width FROM fabric.growth);
    grown record;
    start bigint;
    partition text;
    columns text;
BEGIN
    FOR grown IN SELECT * FROM fabric.growing ORDER BY parent FOR UPDATE LOOP
        start := grown.covered_through;
        WHILE start <= through LOOP
            partition := format('%s_p%s', grown.parent, start / step);
            EXECUTE format(
                'CREATE TABLE %s PARTITION OF %s FOR VALUES FROM (%s) TO (%s)',
                partition, grown.parent, start << grown.shift, (start + step) << grown.shift);
            FOREACH columns IN ARRAY grown.unique_within LOOP
                EXECUTE format('CREATE UNIQUE INDEX ON %s (%s)', partition, columns);
            END LOOP;
            start := start + step;
        END LOOP;
        UPDATE fabric.growing SET covered_through = start WHERE parent = grown.parent;
    END LOOP;
    RETURN (SELECT min(covered_through) - 1 FROM fabric.growing);
END $$;

-- Fail, with an error of ours, unless a statement touched as many rows as it had to: so a
-- whole commit can be sent at once, and nothing of it happens on top of another state.
CREATE FUNCTION fabric.demand(touched bigint, expected bigint, code text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF touched <> expected THEN
        RAISE EXCEPTION USING ERRCODE = code,
            MESSAGE = format('%s rows were touched, not %s', touched, expected);
    END IF;
END $$;

SELECT fabric.partition_by_position('fabric.log_batch', 0);
SELECT fabric.partition_by_position('fabric.log_entry', 0);

GRANT SELECT, UPDATE ON fabric.log_head TO scudo_app;
GRANT SELECT, INSERT, UPDATE ON fabric.writer, fabric.consumer TO scudo_app;
GRANT SELECT, INSERT ON fabric.log_batch, fabric.log_entry, fabric.idempotency TO scudo_app;
REVOKE ALL ON FUNCTION fabric.demand(bigint, bigint, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION fabric.grow(bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION fabric.partition_by_position(regclass, integer, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fabric.demand(bigint, bigint, text) TO scudo_app;
GRANT EXECUTE ON FUNCTION fabric.grow(bigint) TO scudo_app;
GRANT SELECT ON ALL TABLES IN SCHEMA fabric TO scudo_read;
