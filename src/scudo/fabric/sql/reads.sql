-- find_answer: what was answered under an idempotency key
SELECT entry.status, entry.answer
FROM fabric.idempotency AS known
JOIN fabric.log_entry AS entry ON entry.position = known.position
WHERE known.key = %(key)s;

-- find_commands: the commands of these entries
SELECT position, command FROM fabric.log_entry WHERE position = ANY(%(positions)s);

-- list_batches: batches that begin after a position, in order
SELECT first_position, last_position, number, root, hash FROM fabric.log_batch
WHERE first_position > %(after)s
ORDER BY first_position
LIMIT %(limit)s;

-- find_batch: the last batch that begins at or before a position, and the hash of the one before
SELECT first_position, last_position, number, epoch, recorded_at, leaves, outline, root, hash,
    lead(hash) OVER (ORDER BY first_position DESC)
FROM (
    SELECT * FROM fabric.log_batch
    WHERE first_position <= %(position)s
    ORDER BY first_position DESC
    LIMIT 2
) AS latest
ORDER BY first_position DESC
LIMIT 1;

-- summarise_keys: let the keys of a batch be found quickly among those that were added lately
SELECT fabric.summarise_keys();

-- newest_entries: the last entries of the log, as they are stored
SELECT position, command, events, answer FROM fabric.log_entry
ORDER BY position DESC
LIMIT %(limit)s;
