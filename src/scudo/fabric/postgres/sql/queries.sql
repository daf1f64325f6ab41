-- database_exists: whether the cluster has a database of this name
SELECT 1 FROM pg_database WHERE datname = %s;

-- create_database: with the provider and the encoding that initdb gave template0
CREATE DATABASE {name} TEMPLATE template0;

-- roles: they belong to the whole cluster; databases share them, and two starts may race here
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY
        ARRAY['scudo_owner', 'scudo_app', 'scudo_read', 'scudo_vault']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format(
                    'CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION',
                    role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- Somebody else made it in the meantime.
            END;
        END IF;
        -- A superuser may be any role already; everybody else has to be a member.
        IF NOT pg_has_role(current_user, role_name, 'SET') THEN
            EXECUTE format('GRANT %I TO %I', role_name, current_user);
        END IF;
    END LOOP;
    -- The bench and the doctor read statistics.
    IF current_setting('is_superuser') = 'on'
        AND NOT pg_has_role('scudo_read', 'pg_read_all_stats', 'MEMBER')
    THEN
        BEGIN
            GRANT pg_read_all_stats TO scudo_read;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END IF;
END
$$;

-- rights: what the owner makes is nobody's by default; auditors read it, the bank gets grants
SELECT pg_advisory_xact_lock(7235419000001);  -- Two sessions that grant on one object fail.
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO scudo_owner;
GRANT CONNECT ON DATABASE {database} TO scudo_app, scudo_read, scudo_vault;
ALTER DEFAULT PRIVILEGES FOR ROLE scudo_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE scudo_owner REVOKE ALL ON TYPES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE scudo_owner GRANT USAGE ON SCHEMAS TO scudo_app, scudo_read;
ALTER DEFAULT PRIVILEGES FOR ROLE scudo_owner GRANT USAGE ON TYPES TO scudo_app, scudo_read;
ALTER DEFAULT PRIVILEGES FOR ROLE scudo_owner GRANT SELECT ON TABLES TO scudo_read;

-- is_worker: whether we are in the bank's roles, and neither make roles nor own what it stores
SELECT coalesce(bool_and(pg_has_role(current_user, bank.oid, 'SET')), false)
    AND count(*) = 2
    AND NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user)
    AND NOT EXISTS (
        SELECT FROM pg_roles AS other
        WHERE other.rolname IN ('scudo_owner', 'scudo_vault')
            AND pg_has_role(current_user, other.oid, 'MEMBER'))
FROM pg_roles AS bank WHERE bank.rolname IN ('scudo_app', 'scudo_read');

-- is_login: whether somebody can log in by this name
SELECT FROM pg_roles WHERE rolname = %s AND rolcanlogin;

-- is_member: whether a login may take on a role
SELECT pg_has_role(%s, %s, 'SET');

-- admit: let a login take on a role
GRANT {role} TO {login};

-- tables: every table that holds rows of its own
SELECT n.nspname, c.relname
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema';

-- count: how many rows a table holds
SELECT count(*) FROM {};
