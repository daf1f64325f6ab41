-- The log's Merkle tree (RFC 9162) over the hashes of its batches, the heads of it that were
-- signed, and how far they were exported. Rows of tree_node, signing_key and signed_head are
-- never changed.

-- Which log this is, and how far its tree has grown: batches, where the last of them begins and
-- ends, and its hash.
CREATE TABLE governance.tree (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT tree_is_one_row CHECK (only_row),
    log uuid NOT NULL DEFAULT gen_random_uuid(),
    size bigint NOT NULL CONSTRAINT tree_size_is_not_negative CHECK (size >= 0),
    begins bigint NOT NULL,
    position bigint NOT NULL,
    hash bytea NOT NULL CONSTRAINT tree_hash_is_a_digest CHECK (octet_length(hash) = 32)
) WITH (fillfactor = 20);
INSERT INTO governance.tree (size, begins, position, hash)
VALUES (0, 1, 0, decode(repeat('00', 32), 'hex'));

-- Subtrees that are full: of 2^level batches, the index-th of its level from the left.
CREATE TABLE governance.tree_node (
    level smallint NOT NULL CONSTRAINT tree_node_level_is_sane CHECK (level BETWEEN 0 AND 62),
    index bigint NOT NULL CONSTRAINT tree_node_index_is_not_negative CHECK (index >= 0),
    hash bytea NOT NULL CONSTRAINT tree_node_hash_is_a_digest CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, index)
);

-- Public keys, by fingerprint. A key is in use from `valid_from` until the next of its algorithm.
CREATE TABLE governance.signing_key (
    fingerprint bytea PRIMARY KEY
        CONSTRAINT signing_key_fingerprint_is_a_digest CHECK (octet_length(fingerprint) = 32),
    algorithm text NOT NULL
        CONSTRAINT signing_key_algorithm_is_known CHECK (algorithm IN ('ed25519', 'ml-dsa-65')),
    public_key bytea NOT NULL,
    valid_from timestamptz NOT NULL
);

CREATE TABLE governance.signed_head (
    number bigint PRIMARY KEY CONSTRAINT signed_head_number_is_positive CHECK (number > 0),
    size bigint NOT NULL CONSTRAINT signed_head_is_of_something CHECK (size > 0),
    root bytea NOT NULL CONSTRAINT signed_head_root_is_a_digest CHECK (octet_length(root) = 32),
    position bigint NOT NULL,
    signed_at timestamptz NOT NULL,
    cadence text NOT NULL
        CONSTRAINT signed_head_cadence_is_known CHECK (cadence IN ('moment', 'hour', 'day')),
    key bytea NOT NULL REFERENCES governance.signing_key (fingerprint),
    signature bytea NOT NULL
);
CREATE INDEX signed_head_by_size ON governance.signed_head (size);
-- The hourly and daily ones are looked for by cadence; the others are many.
CREATE INDEX signed_head_of_hour ON governance.signed_head (number) WHERE cadence <> 'moment';

-- Heads with all that their signatures cover.
CREATE VIEW governance.head AS
SELECT t.log, h.number, h.size, h.root, h.position, h.signed_at, h.cadence, k.algorithm, h.key,
    h.signature
FROM governance.signed_head AS h
JOIN governance.signing_key AS k ON k.fingerprint = h.key
CROSS JOIN governance.tree AS t;

-- Number of the last head that the witness has.
CREATE TABLE governance.export (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT export_is_one_row CHECK (only_row),
    number bigint NOT NULL CONSTRAINT export_number_is_not_negative CHECK (number >= 0)
) WITH (fillfactor = 20);
INSERT INTO governance.export (number) VALUES (0);

GRANT SELECT ON governance.tree, governance.export, governance.head TO scudo_app;
GRANT UPDATE (size, begins, position, hash) ON governance.tree TO scudo_app;
GRANT UPDATE (number) ON governance.export TO scudo_app;
GRANT SELECT, INSERT ON governance.tree_node, governance.signing_key, governance.signed_head
TO scudo_app;
GRANT SELECT ON ALL TABLES IN SCHEMA governance TO scudo_read;
