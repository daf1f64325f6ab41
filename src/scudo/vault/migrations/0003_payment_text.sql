-- Texts that people send with payments, each under its payer's key and bound to its claim, which is
-- the only thing that the log knows of it. Erased with the payer.
CREATE TABLE vault.payment_text (
    person bigint NOT NULL REFERENCES vault.person_key (person) ON DELETE CASCADE,
    claim bigint NOT NULL CONSTRAINT payment_text_claim_is_a_token CHECK (claim > 0),
    row bytea NOT NULL CONSTRAINT payment_text_row_is_an_id CHECK (octet_length(row) = 16),
    sealed bytea NOT NULL,
    PRIMARY KEY (person, claim)
);
GRANT SELECT, INSERT, DELETE ON vault.payment_text TO scudo_vault;
REVOKE ALL ON vault.payment_text FROM scudo_app, scudo_read;
