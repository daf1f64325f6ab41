-- forget_requests: delete some requests that are due
SELECT governance.forget_some_requests(
    %(before)s, %(held)s::bigint[], %(named)s::text[], %(customer_kind)s::smallint, %(most)s);

-- count_requests: how many requests there are, since when, due, and held
SELECT count(*), min(at),
    count(*) FILTER (WHERE at < least(%(before)s, now() - interval '30 days') AND NOT is_held),
    count(*) FILTER (WHERE at < least(%(before)s, now() - interval '30 days') AND is_held)
FROM (
    SELECT at, (actor_kind = %(customer_kind)s::smallint AND actor = ANY(%(held)s::bigint[]))
        OR EXISTS (
            SELECT FROM unnest(%(named)s::text[]) AS n (name)
            WHERE strpos(asked, n.name) > 0 OR strpos(answered, n.name) > 0) AS is_held
    FROM governance.request
) AS kept;

-- forget_acts: delete some acts of the index that are due
SELECT governance.forget_some_acts(
    %(before)s, %(held)s::bigint[], %(customer_kind)s::smallint, %(most)s);

-- count_acts: how many acts there are, since when, due, and held
SELECT count(*), min(at),
    count(*) FILTER (WHERE at < least(%(before)s, now() - interval '1 year') AND NOT is_held),
    count(*) FILTER (WHERE at < least(%(before)s, now() - interval '1 year') AND is_held)
FROM (
    SELECT at, coalesce(whose = ANY(%(held)s::bigint[]), false)
        OR (actor_kind = %(customer_kind)s::smallint AND actor = ANY(%(held)s::bigint[])) AS is_held
    FROM governance.act
) AS kept;

-- forget_conduct: delete some counts of operators' conduct that are due
SELECT governance.forget_some_conduct(%(before)s, %(most)s);

-- count_conduct: how many counts there are, since when, and due; they are of no customer
SELECT count(*), min(period), count(*) FILTER (WHERE period < least(%(before)s, now() - interval '30 days')), 0::bigint
FROM governance.conduct;
