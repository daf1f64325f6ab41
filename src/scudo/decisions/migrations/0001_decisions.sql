-- Decisions of the gates. Rows of decisions.decision are never changed.

CREATE TABLE decisions.decision (
    id bigint NOT NULL,
    subject bigint NOT NULL,
    ordered_at timestamptz NOT NULL,
    gate smallint NOT NULL,
    outcome smallint NOT NULL CONSTRAINT decision_outcome_is_known CHECK (outcome BETWEEN 0 AND 5),
    degraded smallint NOT NULL,
    record bytea NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
SELECT fabric.partition_by_position('decisions.decision', 0);

-- What a person should look at; kept by the consumer `decisions.alerts`.
CREATE TABLE decisions.alert (
    id bigint PRIMARY KEY,
    decision bigint NOT NULL,
    subject bigint NOT NULL,
    outcome smallint NOT NULL,
    opened_at timestamptz NOT NULL
);

-- Every policy that a decision may name, by the first 16 bytes of its hash.
CREATE TABLE decisions.policy (
    hash uuid PRIMARY KEY,
    name text NOT NULL,
    source text NOT NULL,
    first_used_at timestamptz NOT NULL
);

GRANT SELECT, INSERT ON decisions.decision, decisions.alert, decisions.policy TO scudo_app;
GRANT SELECT ON ALL TABLES IN SCHEMA decisions TO scudo_read;
