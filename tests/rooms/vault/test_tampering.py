"""What a database administrator may do to the vault's rows, and what it brings them."""

import itertools

import psycopg
import pytest
from psycopg import sql
from tests.conftest import create_database
from tests.rooms.vault.conftest import ADA, NETWORK, WHY, refused

from scudo import vault
from scudo.fabric.postgres import APP, OWNER, READ, VAULT
from scudo.vault import ErasePerson, FindPerson, PutCard, PutPerson, ReadCard, ReadFields

NUMBERS = itertools.count(10_000)
BROKEN = "vault_ciphertext_broken"
CHANGE = "UPDATE vault.field SET {} WHERE person = %(first)s AND name = 'email'"
TAKE = CHANGE.format("{} = (SELECT {} FROM vault.field WHERE person = {} AND name = '{}')")


@pytest.fixture
def pair(ask):
    """Two new persons with the same fields."""
    first, second = next(NUMBERS), next(NUMBERS)
    for person in (first, second):
        ask(PutPerson(person, {**ADA, "phone": "0039 1"}))
    return first, second


def execute(shared, statement, **parameters):
    with shared.as_admin() as admin:
        assert admin.execute(statement, parameters).rowcount > 0


class TestMoving:
    @pytest.mark.fault(53)
    @pytest.mark.parametrize(
        "statement",
        [
            # To another person, with and without the identity of the row.
            TAKE.format("sealed", "sealed", "%(second)s", "email"),
            TAKE.format("(row, sealed)", "row, sealed", "%(second)s", "email"),
            # To another field of the same person.
            TAKE.format("(row, sealed)", "row, sealed", "%(first)s", "phone"),
            CHANGE.format("row = decode(repeat('00', 16), 'hex')"),
            CHANGE.format("sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1)"),
        ],
        ids=["person", "person-and-row", "field", "row", "byte"],
    )
    def test_a_field_opens_nothing(self, shared, ask, pair, statement):
        """A ciphertext in another place is refused, and the attempt is recorded."""
        first, second = pair
        execute(shared, statement, first=first, second=second)

        refusal = refused(ask, ReadFields(first, ("email",), WHY))

        assert refusal.code == BROKEN
        assert ADA["email"] not in refusal.message
        with shared.as_admin() as admin:
            row = admin.execute(
                "SELECT count(*) FROM vault.read_record WHERE subject = %s AND result = %s",
                (first, BROKEN),
            ).fetchone()
        assert row == (1,)
        assert ask(ReadFields(second, ("email",), WHY)).values

    @pytest.mark.fault(53)
    def test_a_person_key_opens_nothing(self, shared, ask, pair):
        """A wrapped key under another person's number is refused, with all that it opened."""
        first, second = pair
        execute(shared, "DELETE FROM vault.field WHERE person = %(first)s", first=first)
        execute(shared, "DELETE FROM vault.search WHERE person = %(first)s", first=first)
        execute(shared, "DELETE FROM vault.token_link WHERE person = %(first)s", first=first)
        execute(shared, "DELETE FROM vault.person_key WHERE person = %(first)s", first=first)
        stranger = next(NUMBERS)
        with shared.as_admin() as admin:
            admin.execute("SET session_replication_role = replica")
            for table in ("person_key", "field"):
                admin.execute(
                    f"UPDATE vault.{table} SET person = %s WHERE person = %s", (stranger, second)
                )

        assert refused(ask, ReadFields(stranger, ("email",), WHY)).code == BROKEN

    @pytest.mark.fault(53)
    def test_a_card_opens_nothing(self, shared, ask):
        """One card's ciphertext in the place of another's is refused."""
        first = ask(PutCard("4111111111111111", "2030-01")).card
        second = ask(PutCard("5555555555554444", "2031-02")).card
        execute(
            shared,
            "UPDATE vault.card SET (key, unit, wrapped, sealed) = (SELECT key, unit, wrapped,"
            " sealed FROM vault.card WHERE id = %(second)s) WHERE id = %(first)s",
            first=first,
            second=second,
        )

        assert refused(ask, ReadCard(first, NETWORK)).code == BROKEN
        assert ask(ReadCard(second, NETWORK)).number == "5555555555554444"

    @pytest.mark.fault(53)
    def test_a_field_into_a_card_opens_nothing(self, shared, ask, pair):
        """A field's ciphertext in the table of cards is refused."""
        card = ask(PutCard("4000056655665556", "2030-01")).card
        execute(
            shared,
            "UPDATE vault.card SET (row, sealed) = (SELECT row, sealed FROM vault.field"
            " WHERE person = %(first)s AND name = 'email') WHERE id = %(card)s",
            first=pair[0],
            card=card,
        )

        assert refused(ask, ReadCard(card, NETWORK)).code == BROKEN

    def test_unit_keys_closes_the_vault(self, home):
        """A unit key that does not open lets no request near the data."""
        client = home.opened()
        client.ask(PutPerson(7, ADA))
        home.stop()
        with home.as_admin() as admin:
            admin.execute("UPDATE vault.unit_key SET wrapped = set_byte(wrapped, 60, 1)")

        with pytest.raises(vault.VaultRefusal) as caught:
            home.start()

        assert caught.value.code == BROKEN


class TestRoles:
    def test_see_nothing_of_the_vault(self, shared, ask, pair):
        """The bank's roles can neither use the schema nor read or write one of its tables."""
        tables = _tables(shared, "vault")
        assert len(tables) == 11
        for role in (APP, READ):
            dsn = {APP: shared.database.dsn.app, READ: shared.database.dsn.read}[role]
            with psycopg.connect(dsn, autocommit=True) as connection:
                for table in tables:
                    for statement in (
                        "SELECT count(*) FROM vault.{}",
                        "DELETE FROM vault.{}",
                        "INSERT INTO vault.{} DEFAULT VALUES",
                    ):
                        with pytest.raises(psycopg.errors.InsufficientPrivilege):
                            connection.execute(
                                sql.SQL(statement).format(sql.Identifier(table)).as_string()
                            )

    def test_of_the_vault_sees_nothing_of_the_bank(self, shared):
        """The vault's role can read or write no table of another schema."""
        with shared.as_admin() as admin:
            reached = admin.execute(
                "SELECT c.oid::regclass::text FROM pg_class AS c"
                " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
                " WHERE c.relkind IN ('r', 'p', 'v', 'S') AND n.nspname NOT LIKE 'pg\\_%%'"
                " AND n.nspname NOT IN ('vault', 'information_schema')"
                " AND has_schema_privilege(%(role)s, n.oid, 'USAGE, CREATE')",
                {"role": VAULT},
            ).fetchall()
            total = admin.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname IN ('fabric', 'ledger')"
            ).fetchone()
        assert total[0] > 10
        assert reached == []
        with (
            psycopg.connect(shared.database.dsn.vault, autocommit=True) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("SELECT * FROM ledger.account")

    def test_of_the_vault_is_ordinary(self, shared):
        """It is no superuser, makes nothing, and is no member of another role."""
        with shared.as_admin() as admin:
            found = admin.execute(
                "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
                " OR pg_has_role(rolname, %(owner)s, 'MEMBER') OR pg_has_role(rolname, %(app)s,"
                " 'MEMBER') FROM pg_roles WHERE rolname = %(vault)s",
                {"owner": OWNER, "app": APP, "vault": VAULT},
            ).fetchone()
        assert found == (False,)

    @pytest.mark.parametrize("table", ["read_record", "erasure"])
    def test_of_the_vault_rewrites_no_record(self, shared, table):
        """Records of reads and erasures are added to and never changed."""
        with psycopg.connect(shared.database.dsn.vault, autocommit=True) as connection:
            for statement in ("DELETE FROM vault.{}", "UPDATE vault.{} SET reason = 'x'"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.format(table))


class TestRestoring:
    def test_an_older_backup_forgets_again(self, home, server):
        """Whom the backup remembers and the list outside does not is erased before anybody asks."""
        home.erasures = home.folder.parent / "elsewhere"
        client = home.opened()
        for person in (7, 8):
            client.ask(PutPerson(person, {**ADA, "email": f"ada{person}@example.org"}))
        home.stop()
        backup = f"{home.database.name}_backup"
        create_copy(home, server, backup)
        home.start()
        assert home.client().ask(ErasePerson(7, "operator:7", "article-17")).was_known
        home.stop()

        home.start(dsn=server.database(backup).vault)
        restored = home.client()

        missing = refused(restored.ask, ReadFields(7, ("email",), WHY))
        assert missing.code == "vault_person_not_found"
        assert restored.ask(FindPerson("email", "ada7@example.org", WHY)).persons == ()
        assert refused(restored.ask, PutPerson(7, ADA)).code == "vault_person_erased"
        assert restored.ask(ReadFields(8, ("email",), WHY)).values["email"] == "ada8@example.org"
        with psycopg.connect(server.database(backup).admin) as admin:
            row = admin.execute("SELECT count(*) FROM vault.person_key WHERE person = 7").fetchone()
        assert row == (0,)
        home.stop()
        drop_copy(server, backup)

    def test_an_older_backup_under_a_running_vault_forgets_too(self, home, server):
        """The database is put back while the vault runs: no connection is used before a replay."""
        client = home.opened()
        client.ask(PutPerson(7, ADA))
        name, backup = home.database.name, f"{home.database.name}_backup"
        release(home)
        create_copy(home, server, backup)
        client.ask(ErasePerson(7, "operator:7", "article-17"))
        release(home)
        with psycopg.connect(server.admin, autocommit=True) as admin:
            home.database.connection.close()
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            admin.execute(f'ALTER DATABASE "{backup}" RENAME TO "{name}"')

        code = refused(client.ask, ReadFields(7, ("email",), WHY)).code

        assert code == "vault_person_not_found"
        with home.as_admin() as admin:
            assert admin.execute("SELECT person FROM vault.person_key").fetchall() == []

    def test_compares_the_whole_list_once_and_then_what_is_new(self, home):
        """A new connection looks at lines beyond those carried out; a new process at every one."""
        client = home.opened()
        for person in range(1, 6):
            client.ask(PutPerson(100 + person, ADA))
            client.ask(ErasePerson(person, "operator:7", "article-17"))
        home.stop()
        home.start()
        client = home.client()

        # Somebody puts two persons back as a careful restore of single rows would; of the
        # second it looks as if the list had not been carried out that far.
        _put_back(home, 2, lines=5)
        client.ask(vault.RotateUnit())
        first = _kept(home)
        _put_back(home, 5, lines=4)
        client.ask(vault.RotateUnit())
        second = _kept(home)
        home.stop()
        home.start()

        assert (first & {2, 5}, second & {2, 5}, _kept(home) & {2, 5}) == ({2}, {2}, set())
        with home.as_admin() as admin:
            assert admin.execute("SELECT lines FROM vault.replayed").fetchall() == [(5,)]

    def test_writes_what_the_list_outside_lacks(self, home):
        """An erasure that was committed before a crash, and not exported, is at the next start."""
        client = home.opened()
        client.ask(PutPerson(7, ADA))
        client.ask(ErasePerson(7, "operator:7", "article-17"))
        client.ask(ErasePerson(8, "operator:7", "article-17"))
        home.stop()
        (file,) = home.folder.rglob("erasures.jsonl")
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) - 10])

        home.start()

        assert file.read_bytes() == whole

    def test_stops_at_a_list_that_cannot_be_read(self, home):
        """A broken line, which may be somebody's, is no reason to forget them: nothing starts."""
        client = home.opened()
        client.ask(ErasePerson(7, "operator:7", "article-17"))
        home.stop()
        (file,) = home.folder.rglob("erasures.jsonl")
        file.write_bytes(b"{broken}\n" + file.read_bytes())

        with pytest.raises(vault.VaultFolderUnfit):
            home.start()

    def test_names_nobody_outside_the_database(self, home):
        """The list outside holds numbers, times and codes."""
        client = home.opened()
        client.ask(PutPerson(7, ADA))
        client.ask(ErasePerson(7, "operator:7", "article-17"))

        (file,) = home.folder.rglob("erasures.jsonl")

        assert not [value for value in ADA.values() if value in file.read_text()]
        assert b'"person":7' in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


def _kept(home):
    """Who has a key."""
    with home.as_admin() as admin:
        return {n for (n,) in admin.execute("SELECT person FROM vault.person_key").fetchall()}


def _put_back(home, person, *, lines):
    """Give a person that was erased a key, and make every connection a new one."""
    with home.as_admin() as admin:
        admin.execute(
            "INSERT INTO vault.person_key (person, id, unit, wrapped)"
            " SELECT %(person)s, substr(sha256(id), 1 + %(person)s, 16), unit, wrapped"
            " FROM vault.person_key WHERE person = 101",
            {"person": person},
        )
        admin.execute("DELETE FROM vault.erasure WHERE person = %s", (person,))
        admin.execute("UPDATE vault.replayed SET lines = %s", (lines,))
    release(home)


def _tables(home, schema):
    with home.as_admin() as admin:
        rows = admin.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)
        ).fetchall()
    return [table for (table,) in rows]


def release(home):
    """End every connection to the home's database, as a restart of the server would."""
    with home.as_admin() as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def create_copy(home, server, name):
    """Keep a copy of the database as a backup would."""
    home.database.connection.close()
    create_database(server, name=name, template=home.database.name)


def drop_copy(server, name):
    with psycopg.connect(server.admin, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
