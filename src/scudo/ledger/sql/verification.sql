-- transfers: transfers of a range of ids, in order
COPY (SELECT id, debit_account, credit_account, amount, held, hold, debit_version, debit_balance,
    debit_held, credit_version, credit_balance, credit_held, authority, recorded_at, booked_on,
    value_on, kind, authority_kind, code, currency
FROM ledger.transfer
WHERE id >= %(first)s AND id <= %(last)s
ORDER BY id) TO STDOUT (FORMAT binary);

-- holds: holds of a range of ids, in order
COPY (SELECT id, debit_account, credit_account, held, captured, remaining, authority, expires_at,
    version, tolerance_bps, authority_kind, code, status
FROM ledger.hold
WHERE id >= %(first)s AND id <= %(last)s
ORDER BY id) TO STDOUT (FORMAT binary);

-- holds_of: these holds, in order
COPY (SELECT id, debit_account, credit_account, held, captured, remaining, authority, expires_at,
    version, tolerance_bps, authority_kind, code, status
FROM ledger.hold
WHERE id = ANY(%(ids)s)
ORDER BY id) TO STDOUT (FORMAT binary);

-- accounts: every account, in order
COPY (SELECT id, owner, nature, currency, product, status, opened_at, debits_posted,
    credits_posted, debits_held, credits_held, version, hold_limit, posting_limit
FROM ledger.account
ORDER BY id) TO STDOUT (FORMAT binary);
