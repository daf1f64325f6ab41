-- Waiting payments are looked up by when they expire, shortly before they do.
DROP INDEX payments.payment_that_waits;
CREATE INDEX payment_that_waits ON payments.payment (expires_at) WHERE expires_at IS NOT NULL;
