-- load_accounts: accounts that memory does not hold
SELECT id, owner, nature, currency, product, status,
    (extract(epoch FROM opened_at) * 1000000)::bigint, hold_limit, posting_limit,
    debits_posted, credits_posted, debits_held, credits_held, version
FROM ledger.account
WHERE id = ANY(%(ids)s);

-- load_open_of: open accounts of some owners
SELECT id, owner, nature, currency, product, status,
    (extract(epoch FROM opened_at) * 1000000)::bigint, hold_limit, posting_limit,
    debits_posted, credits_posted, debits_held, credits_held, version
FROM ledger.account
WHERE owner = ANY(%(owners)s) AND status = 1;

-- load_newest: the accounts that were opened last
SELECT id, owner, nature, currency, product, status,
    (extract(epoch FROM opened_at) * 1000000)::bigint, hold_limit, posting_limit,
    debits_posted, credits_posted, debits_held, credits_held, version
FROM ledger.account
ORDER BY id DESC
LIMIT %(limit)s;

-- load_house: the bank's own accounts
SELECT id, product, currency FROM ledger.account WHERE owner = 0;

-- load_holds: holds that memory does not hold
SELECT id, debit_account, credit_account, held, captured, remaining, tolerance_bps,
    (extract(epoch FROM expires_at) * 1000000)::bigint, authority, authority_kind, code,
    status, version
FROM ledger.hold
WHERE id = ANY(%(ids)s);

-- find_expiring: open holds that expire within a window, the first first
SELECT id, (extract(epoch FROM expires_at) * 1000000)::bigint
FROM ledger.hold
WHERE status = 1
    AND expires_at > 'epoch'::timestamptz + %(after)s * interval '1 microsecond'
    AND expires_at <= 'epoch'::timestamptz + %(through)s * interval '1 microsecond'
ORDER BY expires_at
FETCH FIRST %(limit)s ROWS WITH TIES;

-- update_accounts: balances after a batch, guarded by the version before it
UPDATE ledger.account a
SET status = u.status, debits_posted = u.debits_posted, credits_posted = u.credits_posted,
    debits_held = u.debits_held, credits_held = u.credits_held, version = u.version
FROM unnest(%(ids)s, %(guards)s, %(statuses)s, %(debits_posted)s, %(credits_posted)s,
        %(debits_held)s, %(credits_held)s, %(versions)s)
    AS u (id, guard, status, debits_posted, credits_posted, debits_held, credits_held, version)
WHERE a.id = u.id AND a.version = u.guard;

-- update_holds: holds after a batch, guarded by the version before it
UPDATE ledger.hold h
SET held = u.held, captured = u.captured, remaining = u.remaining, status = u.status,
    version = u.version
FROM unnest(%(ids)s, %(guards)s, %(held)s, %(captured)s, %(remaining)s, %(statuses)s,
        %(versions)s)
    AS u (id, guard, held, captured, remaining, status, version)
WHERE h.id = u.id AND h.version = u.guard;

-- find_account: one account
SELECT id, owner, nature, currency, product, status, opened_at, hold_limit, posting_limit,
    debits_posted, credits_posted, debits_held, credits_held, version
FROM ledger.account
WHERE id = %(id)s;

-- list_accounts: accounts of an owner, oldest first
SELECT id, owner, nature, currency, product, status, opened_at, hold_limit, posting_limit,
    debits_posted, credits_posted, debits_held, credits_held, version
FROM ledger.account
WHERE owner = %(owner)s AND id > %(after)s
ORDER BY id
LIMIT %(limit)s;

-- list_transfers: transfers of an account, newest first
SELECT * FROM (
    (SELECT id, debit_account, credit_account, amount, held, hold, debit_version AS version,
        debit_balance AS balance, debit_held AS held_after, authority, authority_kind, kind, code,
        currency, booked_on, value_on, recorded_at, true AS is_debit
    FROM ledger.transfer
    WHERE debit_account = %(account)s AND debit_version < %(before)s
    ORDER BY debit_version DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT id, debit_account, credit_account, amount, held, hold, credit_version,
        credit_balance, credit_held, authority, authority_kind, kind, code,
        currency, booked_on, value_on, recorded_at, false
    FROM ledger.transfer
    WHERE credit_account = %(account)s AND credit_version < %(before)s
    ORDER BY credit_version DESC LIMIT %(limit)s)
) AS both_sides
ORDER BY version DESC
LIMIT %(limit)s;

-- list_journal: transfers of one entry of the log
SELECT id, debit_account, credit_account, amount, held, hold, authority, authority_kind, kind,
    code, currency, booked_on, value_on, recorded_at
FROM ledger.transfer
WHERE id >= %(position)s::bigint << 12 AND id < (%(position)s::bigint + 1) << 12
ORDER BY id;
