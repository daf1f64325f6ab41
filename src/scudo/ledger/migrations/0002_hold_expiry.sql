-- Open holds are looked up by when they expire, shortly before they do.
DROP INDEX ledger.hold_that_is_open;
CREATE INDEX hold_that_is_open ON ledger.hold (expires_at) WHERE status = 1;
