-- read_tree: how far the log's tree has grown
SELECT log, size, begins, position, hash FROM governance.tree;

-- lock_tree: the same, once nobody else makes it grow or signs it
SELECT log, size, begins, position, hash FROM governance.tree FOR UPDATE;

-- hurry_not: what is lost with the database is done again, so the disk need not hurry
SET LOCAL synchronous_commit = off;

-- move_tree: the tree has taken batches
UPDATE governance.tree
SET size = %(size)s, begins = %(begins)s, position = %(position)s, hash = %(hash)s;

-- add_nodes: subtrees that have become full
INSERT INTO governance.tree_node (level, index, hash)
SELECT * FROM unnest(%(levels)s::smallint[], %(indexes)s::bigint[], %(hashes)s::bytea[]);

-- find_nodes: these subtrees
SELECT level, index, hash
FROM unnest(%(levels)s::smallint[], %(indexes)s::bigint[]) AS wanted (level, index)
JOIN governance.tree_node USING (level, index);

-- add_key: a public key, unless it is known
INSERT INTO governance.signing_key (fingerprint, algorithm, public_key, valid_from)
VALUES (%(fingerprint)s, %(algorithm)s, %(public_key)s, %(valid_from)s)
ON CONFLICT (fingerprint) DO NOTHING;

-- list_keys: every key, in the order in which they came into use
SELECT algorithm, public_key, valid_from FROM governance.signing_key ORDER BY valid_from;

-- add_head: a head that was signed
INSERT INTO governance.signed_head
    (number, size, root, position, signed_at, cadence, key, signature)
VALUES (%(number)s, %(size)s, %(root)s, %(position)s, %(signed_at)s, %(cadence)s, %(key)s,
    %(signature)s);

-- list_heads: heads after a number, in order
SELECT * FROM governance.head
WHERE number > %(after)s
ORDER BY number
LIMIT %(limit)s;

-- latest_head: the newest head of these cadences
SELECT * FROM governance.head
WHERE cadence = ANY(%(cadences)s)
ORDER BY number DESC
LIMIT 1;

-- latest_slow_head: the newest head that was signed for an hour or a day
SELECT * FROM governance.head
WHERE cadence <> 'moment' AND cadence = ANY(%(cadences)s)
ORDER BY number DESC
LIMIT 1;

-- head_of_size: the first head of a log of this size
SELECT * FROM governance.head
WHERE size = %(size)s
ORDER BY number
LIMIT 1;

-- lock_export: number of the last head that the witness has, once nobody else exports
SELECT number FROM governance.export FOR UPDATE;

-- move_export: the witness has heads up to this number
UPDATE governance.export SET number = %(number)s;

-- read_export: number of the last head that the witness has
SELECT number FROM governance.export;

-- grown_nodes: the subtrees that became full while the tree grew between two sizes, in order
SELECT level, index, hash
FROM unnest(%(levels)s::smallint[], %(lows)s::bigint[], %(highs)s::bigint[]) AS grown (of, low, high)
JOIN governance.tree_node ON level = of AND index >= low AND index < high
ORDER BY level, index;

-- nodes_beyond: a subtree of more batches than the tree has
SELECT level, index FROM governance.tree_node
WHERE level = 0 AND index >= %(size)s
ORDER BY index LIMIT 1;
