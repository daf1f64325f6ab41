-- decisions: decisions of a range of ids, in order
COPY (SELECT id, subject, ordered_at, gate, outcome, degraded, record
FROM decisions.decision
WHERE id >= %(first)s AND id <= %(last)s
ORDER BY id) TO STDOUT (FORMAT binary);
