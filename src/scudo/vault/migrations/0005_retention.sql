-- By the end of which year a card has expired, so that those that are due are found without opening
-- them; its month stays sealed. Of a card that was kept before this was noted: as far from now as
-- networks let a card be good.
ALTER TABLE vault.card ADD COLUMN expires_by date NOT NULL DEFAULT current_date + 1827;
ALTER TABLE vault.card ALTER COLUMN expires_by DROP DEFAULT;
CREATE INDEX card_by_expiry ON vault.card (expires_by);
CREATE INDEX read_record_by_time ON vault.read_record USING brin (at);

-- Take some records of reads that are due; never those of the last year, whoever asks, and none of
-- persons on whom a legal hold is, nor of their cards.
CREATE FUNCTION vault.forget_some_reads(before timestamptz, held bigint[], most bigint)
RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH due AS (
        SELECT r.id FROM vault.read_record AS r
        WHERE r.at < least(before, now() - interval '1 year')
            AND NOT (r.subject_kind = 'person' AND r.subject = ANY(held))
            AND NOT (r.subject_kind = 'card' AND EXISTS (
                SELECT FROM vault.card AS c WHERE c.id = r.subject AND c.person = ANY(held)))
        ORDER BY r.id
        LIMIT most
    ), gone AS (
        DELETE FROM vault.read_record AS r USING due WHERE r.id = due.id RETURNING 1
    )
    SELECT count(*) FROM gone
$$;
REVOKE ALL ON FUNCTION vault.forget_some_reads(timestamptz, bigint[], bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault.forget_some_reads(timestamptz, bigint[], bigint) TO scudo_vault;
