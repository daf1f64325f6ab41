-- payments: payments of a range of ids, in order
COPY (SELECT id, debit_account, credit_account, amount, captured, decision, version, ordered_at,
    currency, kind, status, outcome, discharged, hold, expires_at, text
FROM payments.payment
WHERE id >= %(first)s AND id <= %(last)s
ORDER BY id) TO STDOUT (FORMAT binary);

-- payments_of: these payments, in order
COPY (SELECT id, debit_account, credit_account, amount, captured, decision, version, ordered_at,
    currency, kind, status, outcome, discharged, hold, expires_at, text
FROM payments.payment
WHERE id = ANY(%(ids)s)
ORDER BY id) TO STDOUT (FORMAT binary);
