-- Accounts with their balances, holds, and the transfers that explain every one of them.
-- Rows of ledger.transfer are never changed.

CREATE TABLE ledger.account (
    id bigint PRIMARY KEY,
    owner bigint NOT NULL,
    nature smallint NOT NULL CONSTRAINT account_nature_is_known CHECK (nature IN (1, 2)),
    currency smallint NOT NULL,
    product smallint NOT NULL,
    status smallint NOT NULL CONSTRAINT account_status_is_known CHECK (status IN (1, 2)),
    opened_at timestamptz NOT NULL,
    hold_limit bigint CONSTRAINT account_hold_limit_is_not_negative CHECK (hold_limit >= 0),
    posting_limit bigint
        CONSTRAINT account_posting_limit_is_not_negative CHECK (posting_limit >= 0),
    debits_posted bigint NOT NULL
        CONSTRAINT account_debits_posted_is_not_negative CHECK (debits_posted >= 0),
    credits_posted bigint NOT NULL
        CONSTRAINT account_credits_posted_is_not_negative CHECK (credits_posted >= 0),
    debits_held bigint NOT NULL
        CONSTRAINT account_debits_held_is_not_negative CHECK (debits_held >= 0),
    credits_held bigint NOT NULL
        CONSTRAINT account_credits_held_is_not_negative CHECK (credits_held >= 0),
    version bigint NOT NULL CONSTRAINT account_version_is_not_negative CHECK (version >= 0)
) WITH (fillfactor = 60);
CREATE INDEX account_of_owner ON ledger.account (owner, id);
-- The bank's own accounts are owned by nobody: one of each product and currency.
CREATE UNIQUE INDEX account_of_house ON ledger.account (product, currency) WHERE owner = 0;

CREATE TABLE ledger.transfer (
    id bigint NOT NULL,
    debit_account bigint NOT NULL,
    credit_account bigint NOT NULL,
    amount bigint NOT NULL CONSTRAINT transfer_amount_is_not_negative CHECK (amount >= 0),
    held bigint NOT NULL,
    hold bigint,
    debit_version bigint NOT NULL,
    debit_balance bigint NOT NULL,
    debit_held bigint NOT NULL CONSTRAINT transfer_debit_held_is_not_negative CHECK (debit_held >= 0),
    credit_version bigint NOT NULL,
    credit_balance bigint NOT NULL,
    credit_held bigint NOT NULL
        CONSTRAINT transfer_credit_held_is_not_negative CHECK (credit_held >= 0),
    authority bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    booked_on date NOT NULL,
    value_on date NOT NULL,
    kind smallint NOT NULL CONSTRAINT transfer_kind_is_known CHECK (kind BETWEEN 1 AND 6),
    authority_kind smallint NOT NULL
        CONSTRAINT transfer_authority_kind_is_known CHECK (authority_kind BETWEEN 1 AND 2),
    code smallint NOT NULL,
    currency smallint NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT transfer_has_two_accounts CHECK (debit_account <> credit_account),
    CONSTRAINT transfer_moves_something CHECK (amount > 0 OR held <> 0),
    CONSTRAINT transfer_names_its_authority CHECK (authority > 0),
    CONSTRAINT transfer_hold_fits_its_kind CHECK ((kind = 1) = (hold IS NULL)),
    CONSTRAINT transfer_change_fits_its_kind CHECK (
        CASE kind
            WHEN 1 THEN amount > 0 AND held = 0
            WHEN 2 THEN amount = 0 AND held > 0 AND hold = id
            WHEN 3 THEN amount = 0 AND held > 0
            WHEN 4 THEN amount > 0 AND held <= 0
            ELSE amount = 0 AND held < 0
        END)
) PARTITION BY RANGE (id);
CREATE TABLE ledger.hold (
    id bigint PRIMARY KEY,
    debit_account bigint NOT NULL,
    credit_account bigint NOT NULL,
    held bigint NOT NULL CONSTRAINT hold_is_positive CHECK (held > 0),
    captured bigint NOT NULL CONSTRAINT hold_captured_is_not_negative CHECK (captured >= 0),
    remaining bigint NOT NULL CONSTRAINT hold_remaining_is_not_negative CHECK (remaining >= 0),
    tolerance_bps integer NOT NULL CONSTRAINT hold_tolerance_is_sane CHECK (tolerance_bps BETWEEN 0 AND 10000),
    expires_at timestamptz NOT NULL,
    authority bigint NOT NULL,
    authority_kind smallint NOT NULL,
    code smallint NOT NULL,
    status smallint NOT NULL CONSTRAINT hold_status_is_known CHECK (status BETWEEN 1 AND 4),
    version bigint NOT NULL,
    CONSTRAINT hold_ends_empty CHECK (status = 1 OR remaining = 0)
) WITH (fillfactor = 80);
CREATE INDEX hold_that_is_open ON ledger.hold (id) WHERE status = 1;

-- Inside one partition no version of an account is given twice; across partitions the
-- guarded update of the account sees to it.
SELECT fabric.partition_by_position(
    'ledger.transfer', 12, 'debit_account, debit_version', 'credit_account, credit_version');

-- One line per account and movement, both sides of every transfer.
CREATE VIEW ledger.entry AS
SELECT debit_account AS account, debit_version AS version, id AS transfer, kind,
    -amount AS amount, debit_balance AS balance, debit_held AS held,
    booked_on, value_on, recorded_at
FROM ledger.transfer
UNION ALL
SELECT credit_account, credit_version, id, kind, amount, credit_balance, credit_held,
    booked_on, value_on, recorded_at
FROM ledger.transfer;

GRANT SELECT, INSERT ON ledger.transfer TO scudo_app;
GRANT SELECT, INSERT, UPDATE ON ledger.account, ledger.hold TO scudo_app;
GRANT SELECT ON ledger.entry TO scudo_app;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO scudo_read;
