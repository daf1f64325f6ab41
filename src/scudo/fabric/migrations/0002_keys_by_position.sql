-- A proof reads the keys of one batch. Rows are added in the order of positions, so summaries of
-- blocks find them, and cost next to nothing when a row is added. Few pages each: what a proof
-- waits for is the rows that are looked at in vain, in sixteen partitions.
CREATE INDEX idempotency_by_position ON fabric.idempotency
USING brin (position) WITH (pages_per_range = 4, autosummarize = on);
