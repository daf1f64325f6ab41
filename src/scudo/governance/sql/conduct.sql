-- count: count one more; how many there are now, and whether it was told already
INSERT INTO governance.conduct (actor, actor_kind, rule, period, count)
VALUES (%(actor)s, %(actor_kind)s, %(rule)s, %(period)s, 1)
ON CONFLICT (actor, actor_kind, rule, period) DO UPDATE
SET count = governance.conduct.count + 1
RETURNING count, is_told;

-- usual: the mean of an operator's earlier periods in which there was anything; 0 without any
SELECT coalesce(avg(count), 0)::bigint FROM governance.conduct
WHERE actor = %(actor)s AND actor_kind = %(actor_kind)s AND rule = %(rule)s
    AND period >= %(since)s AND period < %(period)s;

-- tell: remember that it was told
UPDATE governance.conduct SET is_told = true
WHERE actor = %(actor)s AND actor_kind = %(actor_kind)s AND rule = %(rule)s
    AND period = %(period)s;
