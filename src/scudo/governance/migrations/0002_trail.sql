-- What the audit trail is searched by. The trail itself is the log; this can be made again from it.

-- Acts; kept by the consumer `governance.acts`.
CREATE TABLE governance.act (
    id bigint NOT NULL,
    at timestamptz NOT NULL,
    actor bigint NOT NULL,
    actor_kind smallint NOT NULL,
    act text NOT NULL,
    object text NOT NULL,
    whose bigint,
    result text NOT NULL,
    reason text NOT NULL,
    network bigint,
    device bigint,
    trace text NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
SELECT fabric.partition_by_position('governance.act', 0);
CREATE INDEX act_by_actor ON governance.act (actor, id);
CREATE INDEX act_by_whose ON governance.act (whose, id) WHERE whose IS NOT NULL;
CREATE INDEX act_by_object ON governance.act (object, id) WHERE object <> '';
CREATE INDEX act_by_trace ON governance.act (trace) WHERE trace <> '';

-- Requests of the back office and their answers, masked; no evidence, and kept for a while only.
CREATE TABLE governance.request (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trace text NOT NULL,
    at timestamptz NOT NULL,
    operation text NOT NULL,
    actor bigint NOT NULL,
    actor_kind smallint NOT NULL,
    network bigint,
    status smallint NOT NULL,
    code text NOT NULL,
    asked text NOT NULL,
    answered text NOT NULL,
    elapsed_us bigint NOT NULL
);
CREATE INDEX request_by_trace ON governance.request (trace);
CREATE INDEX request_by_actor ON governance.request (actor, id);
CREATE INDEX request_by_time ON governance.request USING brin (at);

-- Take requests from before a time; never those of the last thirty days, whoever asks.
CREATE FUNCTION governance.forget_requests(before timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM governance.request WHERE at < least(before, now() - interval '30 days')
$$;
REVOKE ALL ON FUNCTION governance.forget_requests(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION governance.forget_requests(timestamptz) TO scudo_app;

GRANT SELECT, INSERT ON governance.act, governance.request TO scudo_app;
GRANT SELECT ON ALL TABLES IN SCHEMA governance TO scudo_read;
