-- read_head: where the log stands
SELECT epoch, position, ordered_at, batch, hash, clock FROM fabric.log_head;

-- lock_head: where the log stands, once no transaction is moving it
SELECT epoch, position, ordered_at, batch, hash, clock FROM fabric.log_head FOR UPDATE;

-- advance_head: move the head from exactly where this writer left it; touches no row when fenced
UPDATE fabric.log_head
SET position = %(position)s, ordered_at = %(ordered_at)s, batch = batch + 1,
    hash = %(hash)s, clock = %(clock)s
WHERE epoch = %(epoch)s AND position = %(expected)s AND batch = %(batch)s;

-- raise_epoch: fence every writer before this one
UPDATE fabric.log_head SET epoch = epoch + 1 RETURNING epoch;

-- record_writer: who holds the epoch now
INSERT INTO fabric.writer AS w (epoch, backend_pid, backend_started_at, description, seen_at)
SELECT %(epoch)s, pid, backend_start, %(description)s, clock_timestamp()
FROM pg_stat_get_activity(pg_backend_pid())
ON CONFLICT (only_row) DO UPDATE
SET epoch = excluded.epoch, backend_pid = excluded.backend_pid,
    backend_started_at = excluded.backend_started_at, description = excluded.description,
    seen_at = excluded.seen_at
WHERE w.epoch <= excluded.epoch;

-- read_writer: the recorded writer, whether its backend still runs, and the age of its heartbeat
SELECT w.epoch, w.backend_pid, w.description, a.pid IS NOT NULL AS running,
    coalesce(extract(epoch FROM clock_timestamp() - w.seen_at) * 1000, 1e9)::bigint AS silent_ms
FROM fabric.writer w
LEFT JOIN pg_stat_get_activity(NULL) a
    ON a.pid = w.backend_pid AND a.backend_start IS NOT DISTINCT FROM w.backend_started_at;

-- end_writer: end the recorded backend, so that it holds no lock of the log any more
SELECT pg_terminate_backend(w.backend_pid, 1500)
FROM fabric.writer w
JOIN pg_stat_get_activity(NULL) a
    ON a.pid = w.backend_pid AND a.backend_start IS NOT DISTINCT FROM w.backend_started_at;

-- beat: say that the writer of this epoch is alive
UPDATE fabric.writer SET seen_at = clock_timestamp() WHERE epoch = %(epoch)s;

-- retire: say that the writer of this epoch has left in order
UPDATE fabric.writer SET seen_at = NULL WHERE epoch = %(epoch)s;

-- grow: partitions for the positions up to the given one
SELECT fabric.grow(%(through)s);

-- find_keys: which of these keys have been answered; each is looked for in its own partition
SELECT found.*
FROM unnest(%(keys)s::uuid[]) AS asked (key)
CROSS JOIN LATERAL (
    SELECT i.key, i.request, i.position FROM fabric.idempotency i WHERE i.key = asked.key OFFSET 0
) AS found;

-- find_answers: what was answered at these positions, and to which command
SELECT position, status, command, answer FROM fabric.log_entry
WHERE position = ANY(%(positions)s);

-- read_entries: entries from a position on, in order
SELECT position, ordered_at, correlation, client, event_count, events
FROM fabric.log_entry
WHERE position >= %(start)s
ORDER BY position
LIMIT %(limit)s;

-- entry_start: first position of the entry that contains a position
SELECT max(position) FROM fabric.log_entry
WHERE position <= %(position)s AND position > %(position)s - 32768;

-- read_consumer: where a consumer stands
SELECT position FROM fabric.consumer WHERE name = %(name)s;

-- lock_consumer: where a consumer stands, locked until its effects are committed
SELECT position FROM fabric.consumer WHERE name = %(name)s FOR UPDATE;

-- add_consumer: register a consumer at a position, unless it is known
INSERT INTO fabric.consumer (name, position) VALUES (%(name)s, %(position)s)
ON CONFLICT (name) DO NOTHING;

-- move_consumer: a consumer has taken everything up to a position
UPDATE fabric.consumer SET position = %(position)s WHERE name = %(name)s;

-- list_consumers: every consumer and its position
SELECT name, position FROM fabric.consumer ORDER BY name;

-- batch_hash_at: hash of the batch that ended at a position
SELECT last_position, hash FROM fabric.log_batch
WHERE first_position <= %(position)s
ORDER BY first_position DESC
LIMIT 1;

-- begin: a batch is one transaction
BEGIN;

-- commit: the batch stands
COMMIT;

-- column_types: types of a table's columns, and of arrays of them
SELECT a.attname, t.oid::bigint, t.typarray::bigint
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %(table)s::regclass AND a.attnum > 0;
