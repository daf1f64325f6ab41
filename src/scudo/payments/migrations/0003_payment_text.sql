-- The claim of the text that came with a payment; the text itself is in the vault.
ALTER TABLE payments.payment ADD COLUMN text bigint
    CONSTRAINT payment_text_is_a_claim CHECK (text > 0);
