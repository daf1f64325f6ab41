-- A proof reads the keys of one batch, and rows are added in the order of positions: summaries
-- of blocks find them, and cost next to nothing when a row is added.
CREATE INDEX idempotency_by_position ON fabric.idempotency
USING brin (position) WITH (pages_per_range = 16, autosummarize = on);
