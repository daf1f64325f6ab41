-- load_customers: customers by id or by reference
SELECT id, reference, kind, country, (extract(epoch FROM registered_at) * 1000000)::bigint
FROM identity.customer
WHERE id = ANY(%(ids)s) OR reference = ANY(%(references)s);

-- load_newest: the customers that were registered last
SELECT id, reference, kind, country, (extract(epoch FROM registered_at) * 1000000)::bigint
FROM identity.customer
ORDER BY id DESC
LIMIT %(limit)s;

-- find_customer: one customer
SELECT id, reference, kind, country, registered_at FROM identity.customer WHERE id = %(id)s;

-- list_customers: customers, oldest first
SELECT id, reference, kind, country, registered_at
FROM identity.customer
WHERE id > %(after)s AND (%(reference)s::text IS NULL OR reference = %(reference)s)
ORDER BY id
LIMIT %(limit)s;

-- put_client: give a client a token; a client of that name gets the new token and scopes
INSERT INTO identity.client (name, token_hash, scopes, customer, created_at)
VALUES (%(name)s, %(token_hash)s, %(scopes)s, %(customer)s, %(now)s)
ON CONFLICT (name) DO UPDATE
SET token_hash = excluded.token_hash, scopes = excluded.scopes, revoked_at = NULL
RETURNING id;

-- revoke_client: end a client's token
UPDATE identity.client SET revoked_at = %(now)s
WHERE name = %(name)s AND revoked_at IS NULL
RETURNING id;

-- read_clients: every client whose token is good
SELECT id, token_hash, scopes, customer FROM identity.client WHERE revoked_at IS NULL;

-- find_client: one client by name
SELECT id FROM identity.client WHERE name = %(name)s AND revoked_at IS NULL;
