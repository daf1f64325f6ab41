-- load_payments: payments that memory does not hold
SELECT id, debit_account, credit_account, amount, captured, decision, version,
    (extract(epoch FROM ordered_at) * 1000000)::bigint, currency, kind, status, outcome,
    discharged, hold, (extract(epoch FROM expires_at) * 1000000)::bigint, text
FROM payments.payment
WHERE id = ANY(%(ids)s);

-- find_expiring: payments that expire within a window, the first first
SELECT id, (extract(epoch FROM expires_at) * 1000000)::bigint
FROM payments.payment
WHERE expires_at > 'epoch'::timestamptz + %(after)s * interval '1 microsecond'
    AND expires_at <= 'epoch'::timestamptz + %(through)s * interval '1 microsecond'
ORDER BY expires_at
FETCH FIRST %(limit)s ROWS WITH TIES;

-- update_payments: payments after a batch, guarded by the version before it
UPDATE payments.payment p
SET credit_account = u.credit_account, amount = u.amount, captured = u.captured,
    decision = u.decision, version = u.version, status = u.status, outcome = u.outcome,
    discharged = u.discharged, hold = nullif(u.hold, 0),
    expires_at = CASE WHEN u.expires_at = 0 THEN NULL
        ELSE 'epoch'::timestamptz + u.expires_at * interval '1 microsecond' END
FROM unnest(%(ids)s, %(guards)s, %(credits)s, %(amounts)s, %(captured)s, %(decisions)s,
        %(versions)s, %(statuses)s, %(outcomes)s, %(discharged)s, %(holds)s, %(expiries)s)
    AS u (id, guard, credit_account, amount, captured, decision, version, status, outcome,
        discharged, hold, expires_at)
WHERE p.id = u.id AND p.version = u.guard;

-- find_payment: one payment
SELECT id, debit_account, credit_account, amount, captured, decision, ordered_at, currency, kind,
    status, outcome, hold, expires_at, text
FROM payments.payment
WHERE id = %(id)s;

-- list_payments: payments, newest first
SELECT id, debit_account, credit_account, amount, captured, decision, ordered_at, currency, kind,
    status, outcome, hold, expires_at, text
FROM payments.payment
WHERE id < %(before)s
ORDER BY id DESC
LIMIT %(limit)s;
