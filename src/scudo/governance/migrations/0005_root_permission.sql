-- What approvals say of a new root of the vault (governance/roots.py): of records 521 the one that
-- is asked for, if two people gave it, and of 522 whether one client may still do it alone.
CREATE OR REPLACE FUNCTION vault.root_permission(
    approval bigint,
    OUT needs_two boolean, OUT replaced text, OUT shares integer, OUT threshold integer,
    OUT token text, OUT given_at bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT
        EXISTS (
            SELECT FROM fabric.current_record AS ways
            WHERE ways.kind = 522 AND ways.body -> 'closed' ? 'rotate_root'
        ),
        given.document #>> '{diff,root,0}',
        coalesce((given.document #>> '{change,shares}')::integer, 0),
        coalesce((given.document #>> '{change,threshold}')::integer, 0),
        coalesce(given.document #>> '{change,token}', ''),
        given.given_at
    FROM (VALUES (1)) AS one LEFT JOIN (
        SELECT
            (a.body ->> 'document')::jsonb AS document,
            (a.body ->> 'ended_at')::bigint AS given_at
        FROM fabric.current_record AS a
        WHERE a.kind = 521 AND a.thing = root_permission.approval
            AND a.body ->> 'kind' = 'rotate_root' AND a.body ->> 'state' = 'done'
    ) AS given ON true
$$;
