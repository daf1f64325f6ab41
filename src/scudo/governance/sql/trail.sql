-- add_act: keep an act, unless this event was taken before
INSERT INTO governance.act
(id, at, actor, actor_kind, act, object, whose, result, reason, network, device, trace)
VALUES (
    %(id)s, %(at)s, %(actor)s, %(actor_kind)s, %(act)s, %(object)s, %(whose)s, %(result)s,
    %(reason)s, %(network)s, %(device)s, %(trace)s
)
ON CONFLICT (id) DO NOTHING;

-- find_acts: acts that fit, newest first; what is NULL is not asked
SELECT id, at, actor, actor_kind, act, object, whose, result, reason, network, device, trace
FROM governance.act
WHERE id < %(before)s
    AND (%(actor)s::bigint IS NULL OR actor = %(actor)s)
    AND (%(actor_kind)s::smallint IS NULL OR actor_kind = %(actor_kind)s)
    AND (%(whose)s::bigint IS NULL OR whose = %(whose)s)
    AND (%(object)s::text IS NULL OR (object = %(object)s AND object <> ''))
    AND (%(trace)s::text IS NULL OR (trace = %(trace)s AND trace <> ''))
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
ORDER BY id DESC
LIMIT %(limit)s;

-- add_request: keep a request and its answer
INSERT INTO governance.request
(trace, at, operation, actor, actor_kind, network, status, code, asked, answered, elapsed_us)
VALUES (
    %(trace)s, %(at)s, %(operation)s, %(actor)s, %(actor_kind)s, %(network)s, %(status)s,
    %(code)s, %(asked)s, %(answered)s, %(elapsed_us)s
);

-- find_requests: requests that fit, newest first; what is NULL is not asked
SELECT id, trace, at, operation, actor, actor_kind, network, status, code, asked, answered, elapsed_us
FROM governance.request
WHERE id < %(before)s
    AND (%(actor)s::bigint IS NULL OR actor = %(actor)s)
    AND (%(actor_kind)s::smallint IS NULL OR actor_kind = %(actor_kind)s)
    AND (%(trace)s::text IS NULL OR trace = %(trace)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
ORDER BY id DESC
LIMIT %(limit)s;
