-- How many lines of the list of erasures outside were carried out here. A restored backup has
-- the number of its day, so that it is given what it lacks, and nobody reads the whole list again.
CREATE TABLE vault.replayed (
    is_one boolean PRIMARY KEY DEFAULT true CONSTRAINT replayed_is_one_row CHECK (is_one),
    lines bigint NOT NULL CONSTRAINT replayed_lines_are_counted CHECK (lines >= 0)
);
GRANT SELECT, INSERT, UPDATE ON vault.replayed TO scudo_vault;
REVOKE ALL ON vault.replayed FROM scudo_app, scudo_read;
