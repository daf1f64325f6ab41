-- How often operators did what is watched, kept by the consumer `governance.anomalies`; it can be
-- made again from the log. Few rows: one for each operator, rule and hour or day.
CREATE TABLE governance.conduct (
    actor bigint NOT NULL,
    actor_kind smallint NOT NULL,
    rule text NOT NULL,
    period timestamptz NOT NULL,
    count bigint NOT NULL CONSTRAINT conduct_count_is_positive CHECK (count > 0),
    is_told boolean NOT NULL DEFAULT false,
    PRIMARY KEY (actor, actor_kind, rule, period)
);

GRANT SELECT, INSERT, UPDATE ON governance.conduct TO scudo_app;
GRANT SELECT ON governance.conduct TO scudo_read;
