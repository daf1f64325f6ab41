-- speak: a database of another encoding would answer in bytes
SET client_encoding = 'UTF8';

-- settings: what this session is told by the server
SELECT name, setting FROM pg_settings WHERE name = ANY(%(names)s);

-- version: the server's version as a number, such as 180004
SELECT current_setting('server_version_num')::int;

-- database: how this database stores and sorts text
SELECT pg_encoding_to_char(encoding),
    CASE datlocprovider WHEN 'b' THEN 'builtin' WHEN 'i' THEN 'icu' ELSE 'libc' END,
    coalesce(datlocale, datcollate)
FROM pg_database WHERE datname = current_database();

-- clock: the database's idea of now
SELECT clock_timestamp();

-- long_transactions: how many transactions of others are older than a limit
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    AND xact_start < clock_timestamp() - make_interval(secs => %(limit_s)s);

-- prepared_transactions: transactions that wait for a second word and hold their locks until then
SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database();

-- role: what the application's role may be beyond its grants; no row when there is no such role
SELECT concat_ws(', ',
    CASE WHEN rolsuper THEN 'superuser' END,
    CASE WHEN rolcreaterole THEN 'creates roles' END,
    CASE WHEN rolcreatedb THEN 'creates databases' END,
    CASE WHEN rolreplication THEN 'replicates' END,
    CASE WHEN rolbypassrls THEN 'bypasses row security' END,
    CASE WHEN pg_has_role(rolname, 'scudo_owner', 'MEMBER') THEN 'member of the owner' END)
FROM pg_roles WHERE rolname = 'scudo_app';

-- destructive_rights: tables from which the application's role could take rows
SELECT c.oid::regclass::text
FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
WHERE c.relkind IN ('r', 'p') AND r.rolname = 'scudo_owner'
    AND has_table_privilege('scudo_app', c.oid, 'DELETE, TRUNCATE')
ORDER BY 1;

-- rewriting_rights: of some tables, those whose rows the application's role could change
SELECT name FROM unnest(%(tables)s::text[]) AS name
WHERE to_regclass(name) IS NULL
    OR has_table_privilege('scudo_app', to_regclass(name), 'UPDATE, DELETE, TRUNCATE')
    OR has_any_column_privilege('scudo_app', to_regclass(name), 'UPDATE')
ORDER BY 1;

-- first_batch: when the log began; no row before that
SELECT recorded_at FROM fabric.log_batch ORDER BY first_position LIMIT 1;
