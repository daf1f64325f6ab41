SELECT
    (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
     FROM pg_class c
     JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND n.nspname = ANY(%(rooms)s)),
    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint
