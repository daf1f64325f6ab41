-- active_root: the root that unit keys are wrapped by
SELECT id, kind, threshold, identifier, proof, hsm, coalesce(approval, 0)
FROM vault.root WHERE state = 'active';

-- retire_root: a new root is about to take its place
UPDATE vault.root SET state = 'retired' WHERE state = 'active';

-- add_root: the root from now on
INSERT INTO vault.root
    (id, kind, shares, threshold, identifier, proof, hsm, approval, state, made_at)
VALUES (%(id)s, %(kind)s, %(shares)s, %(threshold)s, %(identifier)s, %(proof)s, %(hsm)s,
    nullif(%(approval)s, 0), 'active', %(now)s);

-- unit_keys: every unit key, oldest first
SELECT id, number, purpose, state, root, wrapped FROM vault.unit_key ORDER BY purpose, number;

-- retire_unit_key: a new one is about to take its place
UPDATE vault.unit_key SET state = 'retiring' WHERE purpose = %(purpose)s AND state = 'active';

-- add_unit_key: what new keys are wrapped by from now on
INSERT INTO vault.unit_key (id, number, purpose, state, root, wrapped, made_at)
SELECT %(id)s, coalesce(max(number), 0) + 1, %(purpose)s, 'active', %(root)s, %(wrapped)s, %(now)s
FROM vault.unit_key WHERE purpose = %(purpose)s
RETURNING number;

-- rewrap_unit_key: the same key under another root
UPDATE vault.unit_key SET root = %(root)s, wrapped = %(wrapped)s WHERE id = %(id)s;

-- drop_unit_keys: retired ones that no key is wrapped by
DELETE FROM vault.unit_key AS u
WHERE u.state = 'retiring' AND u.purpose = 'person'
    AND NOT EXISTS (SELECT FROM vault.person_key AS k WHERE k.unit = u.id)
    AND NOT EXISTS (SELECT FROM vault.card AS c WHERE c.unit = u.id);

-- lock_search_keys: nobody hashes a new card meanwhile
SELECT pg_advisory_xact_lock(hashtextextended('vault.search_keys', 0));

-- share_search_keys: no new search key comes before we are done
SELECT pg_advisory_xact_lock_shared(hashtextextended('vault.search_keys', 0));

-- find_search_key: the one that values are hashed under by now
SELECT id FROM vault.unit_key WHERE purpose = 'search' AND state = 'active';

-- drop_search_keys: retired ones that nothing is hashed under
DELETE FROM vault.unit_key AS u
WHERE u.state = 'retiring' AND u.purpose = 'search'
    AND NOT EXISTS (SELECT FROM vault.search AS s WHERE s.unit = u.id)
    AND NOT EXISTS (SELECT FROM vault.card AS c WHERE c.searched_by = u.id);

-- hashes_left: what is still hashed under retiring search keys
SELECT (SELECT count(*) FROM vault.search WHERE unit = ANY(%(units)s))
    + (SELECT count(*) FROM vault.card WHERE searched_by = ANY(%(units)s));

-- persons_left: some persons with hashes under retiring search keys
SELECT DISTINCT person FROM vault.search WHERE unit = ANY(%(units)s) ORDER BY person
LIMIT %(limit)s;

-- lock_persons: as lock_person, in their order
SELECT pg_advisory_xact_lock(hashtextextended('vault.person', person))
FROM unnest(%(persons)s::bigint[]) AS named (person);

-- hashed_fields: what their values are, to be hashed anew; a value that is gone has no hash
SELECT s.person, s.kind, k.id, k.unit, k.wrapped, f.row, f.sealed
FROM vault.search AS s
JOIN vault.person_key AS k ON k.person = s.person
JOIN vault.field AS f ON f.person = s.person AND f.name = s.kind
WHERE s.person = ANY(%(persons)s) AND s.unit = ANY(%(units)s)
ORDER BY s.person, s.kind
FOR NO KEY UPDATE OF k;

-- drop_hashes: of persons, under retiring search keys
DELETE FROM vault.search WHERE person = ANY(%(persons)s) AND unit = ANY(%(units)s);

-- add_hashes: of persons, under the newest search key
INSERT INTO vault.search (person, kind, digest, unit)
SELECT *, %(unit)s FROM unnest(%(persons)s::bigint[], %(kinds)s::text[], %(digests)s::bytea[])
ON CONFLICT DO NOTHING;

-- hashed_cards: some cards with hashes under retiring search keys, locked
SELECT id, key, unit, wrapped, coalesce(person, 0), row, sealed FROM vault.card
WHERE searched_by = ANY(%(units)s)
ORDER BY searched_by, id
LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED;

-- rehash_cards: under the newest search key
UPDATE vault.card AS c SET searched_by = %(unit)s, digest = n.digest
FROM unnest(%(ids)s::bigint[], %(digests)s::bytea[]) AS n (id, digest)
WHERE c.id = n.id;

-- count_left: keys that are still wrapped by retiring unit keys
SELECT (SELECT count(*) FROM vault.person_key WHERE unit = ANY(%(units)s))
    + (SELECT count(*) FROM vault.card WHERE unit = ANY(%(units)s));

-- person_keys_left: some person keys under retiring unit keys, locked
SELECT person, id, unit, wrapped FROM vault.person_key
WHERE unit = ANY(%(units)s)
ORDER BY unit, person
LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED;

-- move_person_keys: wrapped anew
UPDATE vault.person_key AS k SET unit = %(unit)s, wrapped = w.wrapped
FROM unnest(%(ids)s::bytea[], %(wrapped)s::bytea[]) AS w (id, wrapped)
WHERE k.id = w.id;

-- card_keys_left: some card keys under retiring unit keys, locked
SELECT id, key, unit, wrapped FROM vault.card
WHERE unit = ANY(%(units)s)
ORDER BY unit, id
LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED;

-- move_card_keys: wrapped anew
UPDATE vault.card AS c SET unit = %(unit)s, wrapped = w.wrapped
FROM unnest(%(ids)s::bytea[], %(wrapped)s::bytea[]) AS w (key, wrapped)
WHERE c.key = w.key;

-- lock_person: one at a time may write of a person, also of one who is not there yet
SELECT pg_advisory_xact_lock(hashtextextended('vault.person', %(person)s));

-- is_erased: whether a person was erased
SELECT EXISTS (SELECT FROM vault.erasure WHERE person = %(person)s);

-- find_person_key: the key of a person; no sweep moves it meanwhile
SELECT id, unit, wrapped FROM vault.person_key WHERE person = %(person)s FOR NO KEY UPDATE;

-- add_person_key: the key of a new person
INSERT INTO vault.person_key (person, id, unit, wrapped)
VALUES (%(person)s, %(id)s, %(unit)s, %(wrapped)s);

-- find_fields: what is kept of a person, to be replaced
SELECT name, row, sealed FROM vault.field WHERE person = %(person)s AND name = ANY(%(names)s);

-- put_fields: new values of a person's fields
INSERT INTO vault.field (person, name, row, sealed)
SELECT %(person)s, * FROM unnest(%(names)s::text[], %(rows)s::bytea[], %(sealed)s::bytea[])
ON CONFLICT (person, name) DO UPDATE SET sealed = excluded.sealed;

-- drop_search: hashes of values that are replaced
DELETE FROM vault.search WHERE person = %(person)s AND kind = ANY(%(kinds)s);

-- add_search: hashes of values by which a person is looked up
INSERT INTO vault.search (person, unit, kind, digest)
SELECT %(person)s, %(unit)s, * FROM unnest(%(kinds)s::text[], %(digests)s::bytea[])
ON CONFLICT DO NOTHING;

-- link_tokens: tokens that are this person's
INSERT INTO vault.token_link (person, token_version, kind, token)
SELECT %(person)s, %(version)s, * FROM unnest(%(kinds)s::text[], %(tokens)s::bigint[])
ON CONFLICT DO NOTHING;

-- add_erasure: a person is erased; once
INSERT INTO vault.erasure (person, erased_at, actor, reason, correlation)
VALUES (%(person)s, %(at)s, %(actor)s, %(reason)s, %(correlation)s)
ON CONFLICT DO NOTHING;

-- find_erasure: when and why a person was erased
SELECT erased_at, actor, reason, correlation FROM vault.erasure WHERE person = %(person)s;

-- list_erasures: everybody who was erased
SELECT person, erased_at, actor, reason, correlation FROM vault.erasure ORDER BY person;

-- count_kept: what hangs on the key of a person
SELECT (SELECT count(*) FROM vault.person_key WHERE person = %(person)s),
    (SELECT count(*) FROM vault.field WHERE person = %(person)s),
    (SELECT count(*) FROM vault.search WHERE person = %(person)s),
    (SELECT count(*) FROM vault.token_link WHERE person = %(person)s),
    (SELECT count(*) FROM vault.card WHERE person = %(person)s),
    (SELECT count(*) FROM vault.payment_text WHERE person = %(person)s);

-- drop_person_key: and with it fields, look-ups, links, cards and texts
DELETE FROM vault.person_key WHERE person = %(person)s;

-- find_replayed: how many lines of the list outside were carried out here
SELECT lines FROM vault.replayed;

-- keep_replayed: so many are by now
INSERT INTO vault.replayed (lines) VALUES (%(lines)s)
ON CONFLICT (is_one) DO UPDATE SET lines = excluded.lines;

-- unerased: who of these is not erased here
SELECT person FROM unnest(%(persons)s::bigint[]) AS outside (person)
WHERE NOT EXISTS (SELECT FROM vault.erasure AS e WHERE e.person = outside.person)
    OR EXISTS (SELECT FROM vault.person_key AS k WHERE k.person = outside.person);

-- find_card: the card with a number
SELECT id, person, key, unit, wrapped, row, sealed
FROM vault.card WHERE digest = ANY(%(digests)s) FOR NO KEY UPDATE;

-- add_card: a new card, unless somebody was faster
INSERT INTO vault.card (person, digest, searched_by, key, unit, wrapped, row, sealed, first_six,
    last_four, expires_by)
VALUES (%(person)s, %(digest)s, %(searched_by)s, %(key)s, %(unit)s, %(wrapped)s, %(row)s,
    %(sealed)s, %(first_six)s, %(last_four)s, %(expires_by)s)
ON CONFLICT (digest) DO NOTHING
RETURNING id;

-- renew_card: the same number with another expiry
UPDATE vault.card SET sealed = %(sealed)s, expires_by = %(expires_by)s WHERE id = %(id)s;

-- add_text: a text of a payment; the same request may come again
INSERT INTO vault.payment_text (person, claim, row, sealed)
VALUES (%(person)s, %(claim)s, %(row)s, %(sealed)s)
ON CONFLICT (person, claim) DO NOTHING;
