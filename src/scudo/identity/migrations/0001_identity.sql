-- Customers who own accounts, and clients that may call the API. No personal data.

CREATE TABLE identity.customer (
    id bigint PRIMARY KEY,
    reference text NOT NULL
        CONSTRAINT customer_reference_is_short CHECK (length(reference) BETWEEN 1 AND 64),
    kind smallint NOT NULL CONSTRAINT customer_kind_is_known CHECK (kind IN (1, 2)),
    country smallint,
    registered_at timestamptz NOT NULL,
    CONSTRAINT customer_reference_is_unique UNIQUE (reference)
);

CREATE TABLE identity.client (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT client_name_is_unique UNIQUE,
    token_hash bytea NOT NULL CONSTRAINT client_token_hash_is_unique UNIQUE
        CONSTRAINT client_token_hash_is_a_digest CHECK (octet_length(token_hash) = 32),
    scopes text[] NOT NULL,
    customer bigint REFERENCES identity.customer (id),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

GRANT SELECT, INSERT ON identity.customer TO scudo_app;
GRANT SELECT, INSERT ON identity.client TO scudo_app;
GRANT UPDATE (token_hash, scopes, revoked_at) ON identity.client TO scudo_app;
GRANT SELECT ON ALL TABLES IN SCHEMA identity TO scudo_read;
