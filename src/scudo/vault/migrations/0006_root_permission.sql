-- By which approval a root took the place of another; none: it needed none.
ALTER TABLE vault.root ADD COLUMN approval bigint;

-- Whether two people decide on a new root, and which one they have approved: the root that it takes
-- the place of, what opens it (shares and their threshold, or a token), and when that was given, in
-- microseconds. Who decides on what is not for the vault to know: the room above puts its own body
-- in the place of this one, which knows of no second person.
CREATE FUNCTION vault.root_permission(
    approval bigint,
    OUT needs_two boolean, OUT replaced text, OUT shares integer, OUT threshold integer,
    OUT token text, OUT given_at bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT false, NULL::text, NULL::integer, NULL::integer, NULL::text, NULL::bigint
$$;
REVOKE ALL ON FUNCTION vault.root_permission(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault.root_permission(bigint) TO scudo_vault;
