-- What the job of retention may take, and no more: the bank's role deletes from none of these
-- tables, it asks functions that take rows of a certain age, some at a time, and none of
-- customers on whom a legal hold is. Each has a floor below which nobody gets, whatever is asked.

-- Requests; never those of the last thirty days.
CREATE FUNCTION governance.forget_some_requests(
    before timestamptz, held bigint[], named text[], customer_kind smallint, most bigint
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH due AS (
        SELECT r.id FROM governance.request AS r
        WHERE r.at < least(before, now() - interval '30 days')
            AND NOT (r.actor_kind = customer_kind AND r.actor = ANY(held))
            AND NOT EXISTS (
                SELECT FROM unnest(named) AS n (name)
                WHERE strpos(r.asked, n.name) > 0 OR strpos(r.answered, n.name) > 0)
        ORDER BY r.id
        LIMIT most
    ), gone AS (
        DELETE FROM governance.request AS r USING due WHERE r.id = due.id RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

-- Acts of the index, which the log has too; never those of the last year.
CREATE INDEX act_by_time ON governance.act USING brin (at);
CREATE FUNCTION governance.forget_some_acts(
    before timestamptz, held bigint[], customer_kind smallint, most bigint
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH due AS (
        SELECT a.id FROM governance.act AS a
        WHERE a.at < least(before, now() - interval '1 year')
            AND NOT (a.actor_kind = customer_kind AND a.actor = ANY(held))
            AND NOT coalesce(a.whose = ANY(held), false)
        ORDER BY a.id
        LIMIT most
    ), gone AS (
        DELETE FROM governance.act AS a USING due WHERE a.id = due.id RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

-- Counts of operators' conduct; never those of the last thirty days, which alarms rest on.
CREATE FUNCTION governance.forget_some_conduct(before timestamptz, most bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH due AS (
        SELECT c.ctid FROM governance.conduct AS c
        WHERE c.period < least(before, now() - interval '30 days')
        LIMIT most
    ), gone AS (
        DELETE FROM governance.conduct AS c USING due WHERE c.ctid = due.ctid RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

REVOKE ALL ON FUNCTION
    governance.forget_some_requests(timestamptz, bigint[], text[], smallint, bigint),
    governance.forget_some_acts(timestamptz, bigint[], smallint, bigint),
    governance.forget_some_conduct(timestamptz, bigint)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    governance.forget_some_requests(timestamptz, bigint[], text[], smallint, bigint),
    governance.forget_some_acts(timestamptz, bigint[], smallint, bigint),
    governance.forget_some_conduct(timestamptz, bigint)
TO scudo_app;

-- It took everything that was old, held or not.
DROP FUNCTION governance.forget_requests(timestamptz);
