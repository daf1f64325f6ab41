-- list_payments_of: payments from accounts, newest first
SELECT id, debit_account, credit_account, amount, captured, decision, ordered_at, currency, kind,
    status, outcome, hold, expires_at, text
FROM payments.payment
WHERE debit_account = ANY(%(accounts)s) AND id < %(before)s
ORDER BY id DESC
LIMIT %(limit)s;

-- is_payee_known: whether an account was paid from another before a time
SELECT EXISTS (
    SELECT 1
    FROM payments.payment
    WHERE debit_account = %(debit)s AND credit_account = %(credit)s AND status = %(settled)s
        AND ordered_at < 'epoch'::timestamptz + %(before)s * interval '1 microsecond'
);
