-- read_fields: fields of a person and the key they need; what is asked is recorded with it
WITH found AS (
    SELECT name, row, sealed FROM vault.field
    WHERE person = %(person)s AND name = ANY(%(names)s)
),
noted AS (
    INSERT INTO vault.read_record (at, operation, subject_kind, subject, field, purpose, actor,
        reason, correlation, result)
    SELECT 'epoch'::timestamptz + %(at)s * interval '1 microsecond', 'read', 'person', %(person)s,
        asked.name, %(purpose)s, %(actor)s, %(reason)s, %(correlation)s,
        CASE WHEN found.name IS NULL THEN 'absent' ELSE 'given' END
    FROM unnest(%(names)s) AS asked (name) LEFT JOIN found ON found.name = asked.name
)
SELECT k.id, k.unit, k.wrapped, found.name, found.row, found.sealed
FROM vault.person_key AS k LEFT JOIN found ON true
WHERE k.person = %(person)s;

-- find_persons: persons by the keyed hash of a value
WITH found AS (
    SELECT DISTINCT person FROM vault.search
    WHERE kind = %(kind)s AND digest = ANY(%(digests)s)
    ORDER BY person LIMIT 100
),
noted AS (
    INSERT INTO vault.read_record (at, operation, subject_kind, subject, field, purpose, actor,
        reason, correlation, result)
    SELECT 'epoch'::timestamptz + %(at)s * interval '1 microsecond', 'find', 'person',
        coalesce(found.person, 0), %(kind)s, %(purpose)s, %(actor)s, %(reason)s, %(correlation)s,
        CASE WHEN found.person IS NULL THEN 'absent' ELSE 'given' END
    FROM (SELECT) AS asked LEFT JOIN found ON true
)
SELECT person FROM found ORDER BY person;

-- find_linked: persons by a token
WITH found AS (
    SELECT person FROM vault.token_link
    WHERE kind = %(kind)s AND token = %(token)s
    ORDER BY person LIMIT 100
),
noted AS (
    INSERT INTO vault.read_record (at, operation, subject_kind, subject, field, purpose, actor,
        reason, correlation, result)
    SELECT 'epoch'::timestamptz + %(at)s * interval '1 microsecond', 'find', 'person',
        coalesce(found.person, 0), %(kind)s, %(purpose)s, %(actor)s, %(reason)s, %(correlation)s,
        CASE WHEN found.person IS NULL THEN 'absent' ELSE 'given' END
    FROM (SELECT) AS asked LEFT JOIN found ON true
)
SELECT person FROM found ORDER BY person;

-- read_card: one card
WITH found AS (
    SELECT id, person, key, unit, wrapped, row, sealed, first_six, last_four
    FROM vault.card WHERE id = %(card)s
),
noted AS (
    INSERT INTO vault.read_record (at, operation, subject_kind, subject, field, purpose, actor,
        reason, correlation, result)
    SELECT 'epoch'::timestamptz + %(at)s * interval '1 microsecond', %(operation)s, 'card',
        %(card)s, 'card_number', %(purpose)s, %(actor)s, %(reason)s, %(correlation)s,
        CASE WHEN found.id IS NULL THEN 'absent' ELSE 'given' END
    FROM (SELECT) AS asked LEFT JOIN found ON true
)
SELECT key, unit, wrapped, coalesce(person, 0), row, sealed, first_six, last_four FROM found;

-- list_cards: the cards of a person
WITH noted AS (
    INSERT INTO vault.read_record (at, operation, subject_kind, subject, field, purpose, actor,
        reason, correlation, result)
    VALUES ('epoch'::timestamptz + %(at)s * interval '1 microsecond', 'list_cards', 'person',
        %(person)s, 'card_number', %(purpose)s, %(actor)s, %(reason)s, %(correlation)s, 'given')
)
SELECT id, first_six, last_four FROM vault.card WHERE person = %(person)s ORDER BY id;

-- find_card_number: the card with a number, by its keyed hash
WITH found AS (SELECT id FROM vault.card WHERE digest = ANY(%(digests)s)),
noted AS (
    INSERT INTO vault.read_record (at, operation, subject_kind, subject, field, purpose, actor,
        reason, correlation, result)
    SELECT 'epoch'::timestamptz + %(at)s * interval '1 microsecond', 'find', 'card',
        coalesce(found.id, 0), 'card_number', %(purpose)s, %(actor)s, %(reason)s,
        %(correlation)s, CASE WHEN found.id IS NULL THEN 'absent' ELSE 'given' END
    FROM (SELECT) AS asked LEFT JOIN found ON true
)
SELECT id FROM found;

-- note_broken: what was to be given could not be opened
INSERT INTO vault.read_record (at, operation, subject_kind, subject, field, purpose, actor,
    reason, correlation, result)
VALUES ('epoch'::timestamptz + %(at)s * interval '1 microsecond', %(operation)s,
    %(subject_kind)s, %(subject)s, %(field)s, %(purpose)s, %(actor)s, %(reason)s,
    %(correlation)s, 'vault_ciphertext_broken');

-- read_text: a text of a person and the key it needs; what is asked is recorded with it
WITH found AS (
    SELECT row, sealed FROM vault.payment_text
    WHERE person = %(person)s AND claim = %(claim)s
),
noted AS (
    INSERT INTO vault.read_record (at, operation, subject_kind, subject, field, purpose, actor,
        reason, correlation, result)
    SELECT 'epoch'::timestamptz + %(at)s * interval '1 microsecond', 'read', 'person', %(person)s,
        %(field)s, %(purpose)s, %(actor)s, %(reason)s, %(correlation)s,
        CASE WHEN found.sealed IS NULL THEN 'absent' ELSE 'given' END
    FROM (SELECT) AS asked LEFT JOIN found ON true
)
SELECT k.id, k.unit, k.wrapped, found.row, found.sealed
FROM vault.person_key AS k LEFT JOIN found ON true
WHERE k.person = %(person)s;
