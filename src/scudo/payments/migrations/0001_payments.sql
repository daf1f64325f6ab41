-- The life of each payment, as it stands now; its history is in the log.

CREATE TABLE payments.payment (
    id bigint PRIMARY KEY,
    debit_account bigint NOT NULL,
    credit_account bigint NOT NULL,
    amount bigint NOT NULL CONSTRAINT payment_amount_is_positive CHECK (amount > 0),
    captured bigint NOT NULL CONSTRAINT payment_captured_is_not_negative CHECK (captured >= 0),
    decision bigint NOT NULL,
    version bigint NOT NULL,
    ordered_at timestamptz NOT NULL,
    currency smallint NOT NULL,
    kind smallint NOT NULL CONSTRAINT payment_kind_is_known CHECK (kind IN (1, 2)),
    status smallint NOT NULL CONSTRAINT payment_status_is_known CHECK (status BETWEEN 1 AND 11),
    outcome smallint NOT NULL,
    discharged smallint NOT NULL,
    hold bigint,
    expires_at timestamptz
) WITH (fillfactor = 90);
CREATE INDEX payment_of_debit_account ON payments.payment (debit_account, id);
CREATE INDEX payment_that_waits ON payments.payment (id) WHERE expires_at IS NOT NULL;

GRANT SELECT, INSERT, UPDATE ON payments.payment TO scudo_app;
GRANT SELECT ON ALL TABLES IN SCHEMA payments TO scudo_read;
