"""Personal data in the vault: kept, read for a purpose, found, recorded and forgotten."""

import itertools
import time

import pytest
from tests.rooms.vault.conftest import ADA, WHY, refused

from scudo import vault
from scudo.fabric import Tokeniser
from scudo.vault import ErasePerson, FindPerson, FindToken, LinkToken, PutPerson, ReadFields, Why

NUMBERS = itertools.count(1_000)


@pytest.fixture
def ada(ask):
    """A new person with Ada's fields."""
    person = next(NUMBERS)
    ask(PutPerson(person, {**ADA, "email": f"ada{person}@example.org"}))
    return person


class TestReading:
    def test_gives_what_was_put(self, ask, ada):
        """Fields come back as they were put, the newest value of each."""
        ask(PutPerson(ada, {"family_name": "King"}))

        values = ask(ReadFields(ada, ("given_name", "family_name"), WHY)).values

        assert values == {"given_name": "Ada", "family_name": "King"}

    def test_leaves_a_fact_for_each_field_and_no_value(self, shared, ask, ada):
        """The caller gets who, what, whose, why and the result; the vault keeps the same."""
        facts = ask(ReadFields(ada, ("given_name", "address"), WHY)).facts

        told = [(one.field, one.result, one.subject, one.actor, one.reason) for one in facts]
        assert told == [
            ("given_name", "given", ada, "operator:7", "case:12"),
            ("address", "absent", ada, "operator:7", "case:12"),
        ]
        assert {one.correlation for one in facts} == {99}
        with shared.as_admin() as admin:
            rows = admin.execute(
                "SELECT field, result, purpose, actor, reason FROM vault.read_record"
                " WHERE subject = %s ORDER BY id",
                (ada,),
            ).fetchall()
        assert sorted(rows) == [
            ("address", "absent", "screening", "operator:7", "case:12"),
            ("given_name", "given", "screening", "operator:7", "case:12"),
        ]

    @pytest.mark.parametrize(
        ("purpose", "field", "code"),
        [
            ("screening", "totp_seed", "vault_forbidden"),
            ("authentication", "email", "vault_forbidden"),
            ("network", "email", "vault_forbidden"),
            ("curiosity", "email", "vault_field_undeclared"),
            ("screening", "shoe_size", "vault_field_undeclared"),
        ],
    )
    def test_is_refused_beyond_its_purpose(self, ask, ada, purpose, field, code):
        """A purpose reads the classes it is declared for; what is not declared is not read."""
        refusal = refused(ask, ReadFields(ada, (field,), Why(purpose, "op", "case")))

        assert refusal.code == code
        assert [fact.result for fact in refusal.facts] == [code]

    @pytest.mark.parametrize("reason", ["", "Ada Lovelace asked", "case 1\n", "x" * 65])
    def test_needs_a_reason_that_may_stand_in_a_log(self, ask, ada, reason):
        """A reason is a code; sentences, which may hold names, are refused."""
        request = ReadFields(ada, ("email",), Why("screening", "op", reason))

        assert refused(ask, request).code == "vault_request_malformed"

    def test_of_an_unknown_person_is_refused(self, ask):
        """Nobody is made up."""
        assert refused(ask, ReadFields(5, ("email",), WHY)).code == "vault_person_not_found"

    def test_beyond_the_quota_is_refused_and_counted(self, home):
        """A purpose reads so many values a second; the next is refused, others are not."""
        client = home.opened(reads_per_second={"screening": 5})
        client.ask(PutPerson(7, ADA))

        given, codes = 0, set()
        for _ in range(30):
            try:
                client.ask(ReadFields(7, ("email",), WHY))
                given += 1
            except vault.VaultRefusal as refusal:
                codes.add(refusal.code)

        assert codes == {"vault_quota"}
        assert 5 <= given < 30
        assert client.ask(vault.Status()).refused == {"screening": 30 - given}
        assert client.ask(ReadFields(7, ("email",), Why("statement", "op", "c"))).values


class TestWriting:
    @pytest.mark.parametrize("value", [" ", "a\nb", "x" * 2_001, "\x00"])
    def test_refuses_values_that_are_none(self, ask, value):
        """Empty, endless and unprintable values change nothing."""
        refusal = refused(ask, PutPerson(77, {"given_name": "Ada", "address": value}))

        assert refusal.code in {"vault_value_unfit", "vault_request_malformed"}
        missing = refused(ask, ReadFields(77, ("given_name",), WHY))
        assert missing.code == "vault_person_not_found"

    def test_refuses_what_is_not_declared(self, ask):
        """A field that nobody declared is not kept, and its name is not repeated."""
        refusal = refused(ask, PutPerson(78, {"pin": "1234"}))

        assert refusal.code == "vault_field_undeclared"
        assert "pin" not in refusal.message

    def test_leaves_nothing_readable_in_the_database(self, shared, ask):
        """No column of the schema holds a value that was put, in any row."""
        ask(PutPerson(79, {"given_name": "Zaphodetta", "email": "zaphodetta@example.org"}))

        with shared.as_admin() as admin:
            tables = admin.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'vault'"
            ).fetchall()
            stored = [
                str(row).lower()
                for (table,) in tables
                for row in admin.execute(f"SELECT * FROM vault.{table}").fetchall()
            ]
        assert len(stored) > 5
        assert not [row for row in stored if "zaphodetta" in row]


class TestFinding:
    def test_is_by_the_value_as_it_is_compared(self, ask, ada):
        """Case and space do not hide a person; another value is not found."""
        email = f" ADA{ada}@Example.org"

        assert ask(FindPerson("email", email, WHY)).persons == (ada,)
        assert ask(FindPerson("email", "b" + email.strip(), WHY)).persons == ()

    def test_follows_a_changed_value(self, ask, ada):
        """The old value finds nobody any more."""
        ask(PutPerson(ada, {"email": f"king{ada}@example.org"}))

        assert ask(FindPerson("email", f"ada{ada}@example.org", WHY)).persons == ()
        assert ask(FindPerson("email", f"king{ada}@example.org", WHY)).persons == (ada,)

    def test_is_by_token_too(self, ask, ada):
        """The token of a device, or of an e-mail as it was typed, leads to its person."""
        (device,) = ask(LinkToken(ada, "device", f"phone-{ada}")).tokens
        (typed,) = ask(vault.Tokenise("email", (f"ada{ada}@example.org",))).tokens

        assert ask(FindToken("device", device, WHY)).persons == (ada,)
        assert ask(FindToken("email", typed, WHY)).persons == (ada,)

    @pytest.mark.parametrize("kind", ["given_name", "shoe_size"])
    def test_is_by_declared_fields_only(self, ask, kind):
        """Nobody is looked up by a first name."""
        assert refused(ask, FindPerson(kind, "Ada", WHY)).code == "vault_field_undeclared"


class TestErasure:
    def test_leaves_nothing_of_a_person(self, shared, ask, ada):
        """Key, fields, hashes and links are gone; the answers are those of nobody."""
        (device,) = ask(LinkToken(ada, "device", f"phone-{ada}")).tokens
        ask(ReadFields(ada, ("email",), WHY))

        erased = ask(ErasePerson(ada, "operator:7", "article-17"))

        assert erased.was_known
        assert refused(ask, ReadFields(ada, ("email",), WHY)).code == "vault_person_not_found"
        assert ask(FindPerson("email", f"ada{ada}@example.org", WHY)).persons == ()
        assert ask(FindToken("device", device, WHY)).persons == ()
        with shared.as_admin() as admin:
            left = [
                admin.execute(f"SELECT count(*) FROM vault.{table} WHERE person = %s", (ada,))
                for table in ("person_key", "field", "search", "token_link", "card", "payment_text")
            ]
        assert [cursor.fetchone()[0] for cursor in left] == [0] * 6

    def test_is_for_ever_and_only_once(self, ask, ada):
        """A second erasure says when the first was; nothing can be kept of them again."""
        first = ask(ErasePerson(ada, "operator:7", "article-17"))

        again = ask(ErasePerson(ada, "operator:8", "other"))

        assert (again.at, again.was_known) == (first.at, False)
        assert refused(ask, PutPerson(ada, ADA)).code == "vault_person_erased"
        assert refused(ask, LinkToken(ada, "ip", "::1")).code == "vault_person_erased"

    def test_drops_the_key_from_memory_within_a_second(self, ask, ada):
        """The number of keys in memory falls as soon as the erasure is answered."""
        ask(ReadFields(ada, ("email",), WHY))
        before = ask(vault.Status()).cached_keys

        ask(ErasePerson(ada, "operator:7", "article-17"))

        assert ask(vault.Status()).cached_keys == before - 1

    def test_outlives_the_key_in_memory(self, home):
        """Keys in memory leave it on time, used or not."""
        client = home.opened(cached_age_us=200_000)
        client.ask(PutPerson(7, ADA))
        client.ask(ReadFields(7, ("email",), WHY))
        assert client.ask(vault.Status()).cached_keys == 1

        deadline = time.monotonic() + 20
        while client.ask(vault.Status()).cached_keys and time.monotonic() < deadline:
            time.sleep(0.05)

        assert client.ask(vault.Status()).cached_keys == 0
        assert client.ask(ReadFields(7, ("email",), WHY)).values["email"] == ADA["email"]


class TestTokens:
    def test_are_those_that_the_bank_made_before(self, home):
        """With the bank's key of before, the vault's tokens are the tokeniser's."""
        key = bytes(range(32))
        (home.folder / "token.key").write_bytes(key)
        home.start()
        values = ("card-1", "ä" * 100)

        made = home.client().ask(vault.Tokenise("card", values))

        tokeniser = Tokeniser(key)
        assert made.tokens == tuple(tokeniser.token("card", value) for value in values)
        assert made.version == 1

    def test_have_a_key_version(self, home):
        """A new key gives other tokens; the old version still gives the old ones."""
        client = home.opened()
        first = client.ask(vault.Tokenise("ip", ("::1", "::2")))
        client.ask(vault.RotateOperational("token"))

        second = client.ask(vault.Tokenise("ip", ("::1", "::2")))

        assert (first.version, second.version) == (1, 2)
        assert set(first.tokens).isdisjoint(second.tokens)
        assert client.ask(vault.Tokenise("ip", ("::1", "::2"), 1)).tokens == first.tokens
        assert refused(client.ask, vault.Tokenise("ip", ("::1",), 3)).code == "vault_key_unknown"

    def test_are_of_declared_kinds_only(self, ask):
        """An undeclared kind is refused."""
        assert refused(ask, vault.Tokenise("name", ("x",))).code == "vault_field_undeclared"
