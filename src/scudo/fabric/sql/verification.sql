-- batches: batches from a first position on, in order
COPY (SELECT first_position, last_position, number, epoch, recorded_at, leaves, outline, root, hash
FROM fabric.log_batch
WHERE first_position > %(after)s AND first_position <= %(through)s
ORDER BY first_position
LIMIT %(limit)s) TO STDOUT (FORMAT binary);

-- entries: entries of a range of positions, in order
COPY (SELECT position, ordered_at, correlation, client, event_count, status, command, events, answer
FROM fabric.log_entry
WHERE position >= %(first)s AND position <= %(last)s
ORDER BY position) TO STDOUT (FORMAT binary);

-- keys: idempotency keys of a range of positions, in order
COPY (SELECT key, request, position
FROM fabric.idempotency
WHERE position >= %(first)s AND position <= %(last)s
ORDER BY position, key) TO STDOUT (FORMAT binary);

-- head: where the log stands
SELECT epoch, position, ordered_at, batch, hash, clock FROM fabric.log_head;
