"""The access matrix: one file that people review, and what the bank does."""

import contextlib
import importlib.util
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bureau import Bureau
from tests.interfaces.bank import conftest

from scudo.identity import operators
from scudo.identity.operators import CORNERS, Circumstances, Rule
from scudo.interfaces.table import operations_without_bank

#: A bank of its own: once it has operators, clients do less alone.
own_bank = conftest.served
ROOT = Path(__file__).resolve().parents[3]
OPERATIONS = [o for o in operations_without_bank() if o.scope is not None]
ROLES = operators.every_role()


def generator():
    path = ROOT / "tools" / "generate_matrix.py"
    spec = importlib.util.spec_from_file_location("generate_matrix", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def permissions():
    """The matrix of the whole table."""
    return generator().permissions_of(operations_without_bank())


@pytest.fixture(scope="module")
def clerks(own_bank):
    """One operator of each role, logged in, with two passkeys."""
    bureau = Bureau(own_bank)
    with contextlib.closing(bureau.http):
        yield clerks_of(bureau, own_bank)


def clerks_of(bureau, own_bank):
    anna, bela = bureau.founders()
    found = {"security_officer": anna}
    for role in ROLES:
        if role not in {"security_officer", "break_glass"}:
            found[role] = bureau.hire(anna, f"the-{role}".replace("_", "-"))
            bureau.grant(anna, bela, found[role], role)
    digest, shares = operators.make_shares(shares=3, threshold=2)
    own_bank.run(own_bank.bank.submit(operators.SealBreakGlass(digest, 2, 3)))
    found["break_glass"] = bureau.hire(anna, "the-breaker")
    body = {"shares": list(shares[:2]), "reason": "DRILL-1"}
    assert found["break_glass"].post("/v1/operator-emergencies", body).status_code == 200
    found["nobody"] = bureau.hire(anna, "the-newcomer")
    return found


class TestFile:
    def test_is_what_the_policies_and_the_table_say(self):
        """The file that people review is the one that is made from what decides."""
        made = generator().generate()

        assert (ROOT / "docs" / "access-matrix.md").read_text() == made

    def test_names_every_operation(self):
        """No operation is missing, those open to strangers included."""
        text = (ROOT / "docs" / "access-matrix.md").read_text()
        missing = [o.name for o in operations_without_bank() if f"{o.name} `" not in text]

        assert missing == []


class TestMatrix:
    @pytest.mark.parametrize("role", ROLES)
    def test_says_of_every_act_what_cedar_says(self, permissions, role):
        """For every pair and every circumstance the matrix and Cedar itself agree."""
        asked = [(frozenset({role}), act, corner) for act in permissions.acts for corner in CORNERS]
        cedar = [permissions.ask(*one) for one in asked]
        compiled = [permissions.allows(roles, act.name, corner) for roles, act, corner in asked]
        by_act = {
            act.name: {cedar[i * len(CORNERS) + n] for n in range(len(CORNERS))}
            for i, act in enumerate(permissions.acts)
        }

        assert compiled == cedar
        for name, answers in by_act.items():
            expected = {
                (True,): Rule.ALWAYS,
                (False,): Rule.NEVER,
                (False, True): Rule.SOMETIMES,
            }[tuple(sorted(answers))]
            assert permissions.rule(role, name) == expected, name

    @given(data=st.data())
    def test_says_so_of_several_roles_and_any_circumstance(self, permissions, data):
        """Whatever roles somebody has and whatever the hour and amount, both agree."""
        roles = data.draw(st.frozensets(st.sampled_from(ROLES), max_size=4))
        act = data.draw(st.sampled_from(permissions.acts))
        circumstances = Circumstances(
            passkeys=data.draw(st.integers(0, 3)),
            is_elevated=data.draw(st.booleans()),
            amount_minor=data.draw(st.integers(0, 2 * 10_000_000)),
            hour=data.draw(st.integers(0, 23)),
            is_own=data.draw(st.booleans()),
        )

        assert permissions.allows(roles, act.name, circumstances) == permissions.ask(
            roles, act, circumstances
        )

    def test_knows_nothing_of_what_no_policy_permits(self, permissions):
        """An act that nobody thought of is nobody's."""
        assert not permissions.allows(ROLES, "print_money", Circumstances(is_elevated=True))


class TestBank:
    @pytest.mark.fault(46)
    @pytest.mark.parametrize("role", [*ROLES, "nobody"])
    def test_does_what_the_matrix_says(self, permissions, clerks, own_bank, role):
        """Every route with every role: refused if and only if the file says never."""
        clerk = clerks[role]
        for operation in OPERATIONS:
            path = operation.path.replace("{", "").replace("}", "")
            answer = clerk.ask(operation.method, path)
            code = answer.json().get("code") if answer.status_code == 403 else ""
            rule = permissions.rule(role, operation.name)
            if role == "nobody" and operation.scope == "operators:self":
                rule = Rule.ALWAYS
            where = f"{role} {operation.name}: {answer.status_code} {answer.text[:200]}"
            if rule is Rule.NEVER:
                assert (answer.status_code, code) == (403, "permission_missing"), where
            elif rule is Rule.ALWAYS:
                assert answer.status_code != 403, where

    def test_tells_the_log_of_what_it_refused(self, clerks, own_bank):
        """A refused operator is in the log, with the operation and the code."""
        clerk = clerks["viewer"]
        assert clerk.post("/v1/operators", {"handle": "friend"}).status_code == 403

        async def told():
            async with own_bank.bank.reads() as connection:
                cursor = await connection.execute(
                    "SELECT events FROM fabric.log_entry ORDER BY position DESC LIMIT 2000"
                )
                return b"".join(bytes(row[0]) for row in await cursor.fetchall())

        # The refusal does not wait for its trace.
        for _ in range(200):
            found = own_bank.run(told())
            if b"invite_operator" in found:
                break
            time.sleep(0.05)
        assert b"invite_operator" in found
        assert b"permission_missing" in found

    def test_gives_clients_nothing_of_operators(self, own_bank, clerks):
        """A client with every scope there is neither sees operators nor approves anything."""
        teller = own_bank.teller(own_bank.token)
        with contextlib.closing(teller.http):
            for path in ("/v1/operators", "/v1/approvals", "/v1/access-reviews"):
                assert teller.get(path).status_code == 403

    def test_lets_nobody_drive_the_clock(self, clerks):
        """No role says what time the log has."""
        clerk = clerks["security_officer"]
        answer = clerk.http.post(
            "/v1/access-reviews",
            headers={
                "authorization": f"Bearer {clerk.token}",
                "scudo-ordered-at": "2020-01-01T00:00:00Z",
            },
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
