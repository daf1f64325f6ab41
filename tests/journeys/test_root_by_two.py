"""A new root of the vault, by two people: proposed, approved, made by keepers, and noticed."""

import contextlib
import json

import psycopg
import pytest
from tests.bureau import Bureau
from tests.journeys.conftest import until

from scudo import vault
from scudo.kernel import Prefix, ids

THREE = {"shares": 3, "threshold": 2}


def give_root(bank):
    """Have keepers make a root in shares, and the bank see it."""
    with bank.asked() as client:
        client.ask(vault.PrepareRoot(3, 2))
        client.ask(vault.CommitRoot())
    seen(bank)


@pytest.fixture(scope="module")
def rooted(shared):
    """The module's bank, whose vault has a root that the bank has seen."""
    give_root(shared)
    return shared


@pytest.fixture(scope="module")
def people(rooted):
    """Two security officers; what was one client's alone has ended."""
    with founded(rooted) as found:
        yield found


@contextlib.contextmanager
def founded(bank):
    bureau = Bureau(bank)
    with contextlib.closing(bureau.http):
        people = bureau.founders()
        until(lambda: bank.events("governance.owners_way.closed.v1"))
        yield people


def status(bank):
    with bank.asked() as client:
        return client.ask(vault.Status())


def seen(bank):
    """Wait until the bank knows the root that the vault has."""
    until(lambda: bank.bank.rooms.vault_keys.root == status(bank).root)


def made(bank, *, shares=3, threshold=2, approval=0):
    """Have keepers make a root; gives the code of the refusal, or nothing."""
    before = status(bank).root
    with bank.asked() as client:
        try:
            client.ask(vault.PrepareRoot(shares, threshold, approval))
            client.ask(vault.CommitRoot())
        except vault.VaultRefusal as refusal:
            assert status(bank).root == before
            return refusal.code
    assert status(bank).root != before
    return ""


def approved(people, **change):
    """Number of an approval of a new root."""
    anna, bela = people
    proposed = anna.propose("rotate_root", **change)
    assert proposed.status_code == 201, proposed.text
    number = proposed.json()["id"]
    answer = bela.approve(number)
    assert answer.status_code == 200, answer.text
    return ids.parse(Prefix.APPROVAL, number)


class TestRoot:
    def test_is_made_by_keepers_alone_while_there_is_no_second_person(self, vaulted):
        """An installation begins with nobody; nothing is told but the change itself."""
        give_root(vaulted)
        assert made(vaulted) == ""
        seen(vaulted)
        assert vaulted.events("governance.root.unapproved.v1") == []

    def test_is_replaced_once_by_an_approval_of_exactly_this(self, rooted, people):
        """Without one, under one of other shares or a second time the vault makes none."""
        without = made(rooted)
        number = approved(people, **THREE)
        outcomes = [
            without,
            made(rooted, shares=5, threshold=3, approval=number),
            made(rooted, approval=number + 1),
            made(rooted, approval=number),
            made(rooted, approval=number),
        ]
        seen(rooted)

        refused = "vault_root_unapproved"
        assert outcomes == [refused, refused, refused, "", refused]
        used = until(lambda: rooted.events("governance.approval.used.v1"))
        assert [u["kind"] for u in used if ids.parse(Prefix.APPROVAL, u["approval"]) == number] == [
            "rotate_root"
        ]
        assert rooted.events("governance.root.unapproved.v1") == []

    def test_is_not_put_into_a_file_any_more(self, rooted, people):
        """A development root is nobody's decision."""
        with rooted.asked() as client, pytest.raises(vault.errors.RootUnapproved):
            client.ask(vault.PrepareDevelopmentRoot())

    def test_of_a_token_is_approved_as_that_token(self, rooted, people):
        """An approval of shares is none of a token; which token, the vault reads."""
        number = approved(people, token="pkcs11:token=bank")
        with rooted.asked() as client:
            for uri, code in (
                ("pkcs11:token=other", "vault_root_unapproved"),
                # Approved; there is no module in this installation.
                ("pkcs11:token=bank?pin-source=/run/pin", "vault_hsm_unfit"),
            ):
                with pytest.raises(vault.VaultRefusal) as refused:
                    client.ask(vault.PrepareHsmRoot(uri, "1234", number))
                assert refused.value.code == code

    def test_that_nobody_approved_pages(self, vaulted):
        """Whoever goes around the vault's question is found by the bank."""
        give_root(vaulted)
        with founded(vaulted):
            before = status(vaulted).root
        with psycopg.connect(vaulted.database.dsn.admin, autocommit=True) as admin:
            admin.execute(
                "CREATE OR REPLACE FUNCTION vault.root_permission(approval bigint,"
                " OUT needs_two boolean, OUT replaced text, OUT shares integer,"
                " OUT threshold integer, OUT token text, OUT given_at bigint) LANGUAGE sql AS"
                " $$ SELECT false, ''::text, 0, 0, ''::text, 0::bigint $$"
            )
        assert made(vaulted) == ""

        (told,) = until(lambda: vaulted.events("governance.root.unapproved.v1"))
        assert (told["before"], told["after"]) == (before, status(vaulted).root)
        assert told["severity"] == "page"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"shares": 1, "threshold": 1}, "vault_shares_unfit"),
            ({"shares": 2, "threshold": 3}, "vault_shares_unfit"),
            ({}, "vault_shares_unfit"),
            ({"shares": 17, "threshold": 3}, "change_invalid"),
            ({"token": "bank"}, "vault_hsm_uri_unfit"),
            ({"token": "pkcs11:token=bank?pin-value=1234"}, "vault_hsm_uri_unfit"),
            ({"token": "pkcs11:token=bank?pin-source=/run/pin"}, "vault_hsm_uri_unfit"),
            ({"token": "pkcs11:token=bank", **THREE}, "vault_hsm_uri_unfit"),
        ],
    )
    def test_that_cannot_be_made_is_not_proposed(self, people, change, code):
        """What opens a root is known before two people think about it."""
        refused = people[0].propose("rotate_root", **change)
        assert refused.json()["code"] == code


class TestAge:
    def test_of_an_approval_is_a_day(self, rooted, people):
        """The vault counts by its own clock from when it was given."""
        number = approved(people, **THREE)
        with psycopg.connect(rooted.database.dsn.admin, autocommit=True) as admin:
            aged(admin, number)
        assert made(rooted, approval=number) == "vault_root_unapproved"


def aged(admin, number):
    """Rewrite, as only a superuser can, that an approval was given a day ago."""
    (body,) = admin.execute(
        "SELECT body FROM fabric.current_record WHERE kind = 521 AND thing = %s", (number,)
    ).fetchone()
    earlier = {**body, "ended_at": body["ended_at"] - 24 * 3_600 * 1_000_000}
    admin.execute("ALTER TABLE fabric.record DISABLE TRIGGER ALL")
    admin.execute(
        "UPDATE fabric.record SET body = %s WHERE kind = 521 AND thing = %s"
        " AND version = (SELECT max(version) FROM fabric.record WHERE kind = 521 AND thing = %s)",
        (json.dumps(earlier).encode(), number, number),
    )
