-- load_kinds: the newest version of every thing of these kinds
SELECT DISTINCT ON (kind, thing) kind, thing, version, body
FROM fabric.record
WHERE kind = ANY(%(kinds)s)
ORDER BY kind, thing, version DESC;

-- page_kind: the newest version of some things of a kind, by number
SELECT DISTINCT ON (thing) thing, version, body
FROM fabric.record
WHERE kind = %(kind)s::smallint AND thing > %(after)s
ORDER BY thing, version DESC
LIMIT %(limit)s;

-- load_things: the newest version of each of these things
SELECT newest.kind, newest.thing, newest.version, newest.body
FROM unnest(%(kinds)s::bigint[], %(things)s::bigint[]) AS wanted (kind, thing)
CROSS JOIN LATERAL (
    SELECT r.kind, r.thing, r.version, r.body
    FROM fabric.record r
    WHERE r.kind = wanted.kind::smallint AND r.thing = wanted.thing
    ORDER BY r.version DESC
    LIMIT 1) newest;

-- find_thing: the newest version of one thing
SELECT body FROM fabric.record
WHERE kind = %(kind)s AND thing = %(thing)s
ORDER BY version DESC
LIMIT 1;

-- list_versions: every version of one thing, oldest first
SELECT version, id, body FROM fabric.record
WHERE kind = %(kind)s AND thing = %(thing)s
ORDER BY version;

-- records: records of a range of ids, in order
COPY (SELECT id, kind, thing, version, body
FROM fabric.record
WHERE id >= %(first)s AND id <= %(last)s
ORDER BY id) TO STDOUT (FORMAT binary);

-- newest_records: the last records
SELECT id, body FROM fabric.record
ORDER BY id DESC
LIMIT %(limit)s;
