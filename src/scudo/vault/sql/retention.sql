-- forget_reads: delete some records of reads that are due
SELECT vault.forget_some_reads(
    'epoch'::timestamptz + %(before)s * interval '1 microsecond', %(held)s::bigint[], %(most)s);

-- count_reads: how many records of reads there are, since when, due, and held
SELECT count(*), coalesce((extract(epoch FROM min(at)) * 1000000)::bigint, 0),
    count(*) FILTER (WHERE is_old AND NOT is_held), count(*) FILTER (WHERE is_old AND is_held)
FROM (
    SELECT r.at,
        r.at < least('epoch'::timestamptz + %(before)s * interval '1 microsecond',
            now() - interval '1 year') AS is_old,
        (r.subject_kind = 'person' AND r.subject = ANY(%(held)s::bigint[]))
        OR (r.subject_kind = 'card' AND EXISTS (
            SELECT FROM vault.card AS c
            WHERE c.id = r.subject AND c.person = ANY(%(held)s::bigint[]))) AS is_held
    FROM vault.read_record AS r
) AS kept;

-- forget_cards: delete some cards that have expired for long enough; never one that may be good
DELETE FROM vault.card WHERE id IN (
    SELECT id FROM vault.card
    WHERE expires_by < least(
            ('epoch'::timestamptz + %(before)s * interval '1 microsecond')::date, current_date)
        AND NOT coalesce(person = ANY(%(held)s::bigint[]), false)
    ORDER BY expires_by, id
    LIMIT %(most)s
);

-- count_cards: how many cards there are, since when they have expired, due, and held
SELECT count(*),
    coalesce((extract(epoch FROM min(expires_by) FILTER (WHERE expires_by < current_date))
        * 1000000)::bigint, 0),
    count(*) FILTER (WHERE is_old AND NOT is_held), count(*) FILTER (WHERE is_old AND is_held)
FROM (
    SELECT expires_by,
        expires_by < least(
            ('epoch'::timestamptz + %(before)s * interval '1 microsecond')::date, current_date
        ) AS is_old,
        coalesce(person = ANY(%(held)s::bigint[]), false) AS is_held
    FROM vault.card
) AS kept;

-- count_persons: of how many persons something is kept
SELECT count(*) FROM vault.person_key;
