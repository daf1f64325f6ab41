-- A root may be a key of a PKCS#11 token; its URI says of which, and nothing secret.
ALTER TABLE vault.root DROP CONSTRAINT root_kind_is_known;
ALTER TABLE vault.root ADD CONSTRAINT root_kind_is_known
    CHECK (kind IN ('shared', 'development', 'hsm'));
ALTER TABLE vault.root ADD COLUMN hsm text
    CONSTRAINT root_hsm_names_a_token CHECK ((kind = 'hsm') = (hsm IS NOT NULL));

-- Which search key a value is hashed under: there may be a newer one. So far there was one only.
ALTER TABLE vault.search ADD COLUMN unit bytea REFERENCES vault.unit_key (id);
UPDATE vault.search SET unit = (SELECT id FROM vault.unit_key WHERE purpose = 'search');
ALTER TABLE vault.search ALTER COLUMN unit SET NOT NULL;
CREATE INDEX search_by_unit ON vault.search (unit, person);
ALTER TABLE vault.card ADD COLUMN searched_by bytea REFERENCES vault.unit_key (id);
UPDATE vault.card SET searched_by = (SELECT id FROM vault.unit_key WHERE purpose = 'search');
ALTER TABLE vault.card ALTER COLUMN searched_by SET NOT NULL;
CREATE INDEX card_by_search_unit ON vault.card (searched_by, id);
