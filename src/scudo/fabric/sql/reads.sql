-- find_answer: what was answered under an idempotency key
SELECT entry.status, entry.answer
FROM fabric.idempotency AS known
JOIN fabric.log_entry AS entry ON entry.position = known.position
WHERE known.key = %(key)s;

-- find_commands: the commands of these entries
SELECT position, command FROM fabric.log_entry WHERE position = ANY(%(positions)s);
