-- Keys, personal data and cards, all of it ciphertext, for the vault's own role and nobody else.
-- Ids of keys and rows are 16 random bytes; ciphertexts are laid out as the vault's code says.

REVOKE ALL ON SCHEMA vault FROM scudo_app, scudo_read;
GRANT USAGE ON SCHEMA vault TO scudo_vault;

CREATE TABLE vault.root (
    id bytea PRIMARY KEY CONSTRAINT root_id_is_an_id CHECK (octet_length(id) = 16),
    kind text NOT NULL CONSTRAINT root_kind_is_known CHECK (kind IN ('shared', 'development')),
    shares smallint NOT NULL,
    threshold smallint NOT NULL,
    -- What every share of it carries, so that a foreign one is known at once; not secret.
    identifier integer NOT NULL,
    -- Opens under the right root only.
    proof bytea NOT NULL,
    state text NOT NULL CONSTRAINT root_state_is_known CHECK (state IN ('active', 'retired')),
    made_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX root_is_active_once ON vault.root (state) WHERE state = 'active';

CREATE TABLE vault.unit_key (
    id bytea PRIMARY KEY CONSTRAINT unit_key_id_is_an_id CHECK (octet_length(id) = 16),
    number integer NOT NULL,
    purpose text NOT NULL
        CONSTRAINT unit_key_purpose_is_known CHECK (purpose IN ('person', 'search')),
    state text NOT NULL
        CONSTRAINT unit_key_state_is_known CHECK (state IN ('active', 'retiring')),
    root bytea NOT NULL REFERENCES vault.root (id),
    wrapped bytea NOT NULL,
    made_at timestamptz NOT NULL,
    CONSTRAINT unit_key_number_is_unique UNIQUE (purpose, number)
);
CREATE UNIQUE INDEX unit_key_is_active_once ON vault.unit_key (purpose) WHERE state = 'active';

CREATE TABLE vault.person_key (
    person bigint PRIMARY KEY CONSTRAINT person_is_a_number CHECK (person > 0),
    id bytea NOT NULL CONSTRAINT person_key_id_is_unique UNIQUE
        CONSTRAINT person_key_id_is_an_id CHECK (octet_length(id) = 16),
    unit bytea NOT NULL REFERENCES vault.unit_key (id),
    wrapped bytea NOT NULL
);
CREATE INDEX person_key_by_unit ON vault.person_key (unit);

CREATE TABLE vault.field (
    person bigint NOT NULL REFERENCES vault.person_key (person) ON DELETE CASCADE,
    name text NOT NULL,
    row bytea NOT NULL CONSTRAINT field_row_is_an_id CHECK (octet_length(row) = 16),
    sealed bytea NOT NULL,
    PRIMARY KEY (person, name)
);

CREATE TABLE vault.search (
    kind text NOT NULL,
    digest bytea NOT NULL CONSTRAINT search_digest_is_one CHECK (octet_length(digest) = 32),
    person bigint NOT NULL REFERENCES vault.person_key (person) ON DELETE CASCADE,
    PRIMARY KEY (kind, digest, person)
);
CREATE INDEX search_by_person ON vault.search (person);

-- Whose a token is that stands in events. Erased with the person; the events stand.
CREATE TABLE vault.token_link (
    kind text NOT NULL,
    token bigint NOT NULL,
    person bigint NOT NULL REFERENCES vault.person_key (person) ON DELETE CASCADE,
    token_version integer NOT NULL,
    PRIMARY KEY (kind, token, person)
);
CREATE INDEX token_link_by_person ON vault.token_link (person);

CREATE TABLE vault.card (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person bigint REFERENCES vault.person_key (person) ON DELETE CASCADE,
    digest bytea NOT NULL CONSTRAINT card_is_known_once UNIQUE
        CONSTRAINT card_digest_is_one CHECK (octet_length(digest) = 32),
    key bytea NOT NULL CONSTRAINT card_key_is_an_id CHECK (octet_length(key) = 16),
    unit bytea NOT NULL REFERENCES vault.unit_key (id),
    wrapped bytea NOT NULL,
    row bytea NOT NULL CONSTRAINT card_row_is_an_id CHECK (octet_length(row) = 16),
    -- Number and expiry.
    sealed bytea NOT NULL,
    first_six text NOT NULL CONSTRAINT card_first_six_are_digits CHECK (first_six ~ '^[0-9]{6}$'),
    last_four text NOT NULL CONSTRAINT card_last_four_are_digits CHECK (last_four ~ '^[0-9]{4}$')
);
CREATE INDEX card_by_person ON vault.card (person);
CREATE INDEX card_by_unit ON vault.card (unit);

-- Append-only: who was erased. Also kept outside the database, because a backup forgets it.
CREATE TABLE vault.erasure (
    person bigint PRIMARY KEY,
    erased_at timestamptz NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    correlation bigint NOT NULL
);

-- Append-only: who read what of whom and why; never the value.
CREATE TABLE vault.read_record (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    operation text NOT NULL,
    subject_kind text NOT NULL,
    subject bigint NOT NULL,
    field text NOT NULL,
    purpose text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    correlation bigint NOT NULL,
    result text NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON vault.root TO scudo_vault;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    vault.unit_key, vault.person_key, vault.field, vault.search, vault.token_link, vault.card
    TO scudo_vault;
GRANT SELECT, INSERT ON vault.erasure, vault.read_record TO scudo_vault;
REVOKE ALL ON ALL TABLES IN SCHEMA vault FROM scudo_app, scudo_read;
