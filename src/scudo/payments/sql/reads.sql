-- list_payments_of: payments from accounts, newest first
SELECT id, debit_account, credit_account, amount, captured, decision, ordered_at, currency, kind,
    status, outcome, hold, expires_at
FROM payments.payment
WHERE debit_account = ANY(%(accounts)s) AND id < %(before)s
ORDER BY id DESC
LIMIT %(limit)s;
