-- A proof reads the keys of one batch. Rows are added in the order of positions, so summaries of
-- blocks find them, and cost next to nothing when a row is added. Few pages each: what a proof
-- waits for is the rows that are looked at in vain, in sixteen partitions.
CREATE INDEX idempotency_by_position ON fabric.idempotency
USING brin (position) WITH (pages_per_range = 4);

-- Summarise the blocks that have become full. The server does so by itself only when it cleans
-- up, after a fifth of a table is new; until then every proof would look at all of that.
CREATE FUNCTION fabric.summarise_keys() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT brin_summarize_new_values(relid)
    FROM pg_partition_tree('fabric.idempotency_by_position') WHERE isleaf
$$;
REVOKE ALL ON FUNCTION fabric.summarise_keys() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fabric.summarise_keys() TO scudo_app;
