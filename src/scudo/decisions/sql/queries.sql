-- read_decisions: decisions from a position on, in order, to rebuild the state of features
SELECT id, record FROM decisions.decision
WHERE id > %(after)s AND id <= %(through)s
ORDER BY id
LIMIT %(limit)s;

-- find_decision: one decision
SELECT id, subject, record FROM decisions.decision WHERE id = %(id)s;

-- load_records: what was decided, of decisions that are looked at again
SELECT id, record FROM decisions.decision WHERE id = ANY(%(ids)s);

-- find_degraded: degraded decisions after a position, to be scored again
SELECT id, subject, record FROM decisions.decision
WHERE id > %(after)s AND degraded <> 0
ORDER BY id
LIMIT %(limit)s;

-- add_alert: open an alert, unless this event was taken before
INSERT INTO decisions.alert (id, decision, subject, outcome, opened_at)
VALUES (%(id)s, %(decision)s, %(subject)s, %(outcome)s, %(opened_at)s)
ON CONFLICT (id) DO NOTHING;

-- list_alerts: alerts, newest first
SELECT id, decision, subject, outcome, opened_at FROM decisions.alert
WHERE id < %(before)s
ORDER BY id DESC
LIMIT %(limit)s;

-- keep_policy: keep the text of a policy that decides
INSERT INTO decisions.policy (hash, name, source, first_used_at)
VALUES (%(hash)s, %(name)s, %(source)s, %(now)s)
ON CONFLICT (hash) DO NOTHING;

-- find_policy: the text of a policy that decided
SELECT name, source FROM decisions.policy WHERE hash = %(hash)s;
