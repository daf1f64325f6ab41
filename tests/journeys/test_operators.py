"""Operators over HTTP, on a bank with its own gates: two people for what matters, and proof."""

import contextlib
import time
import uuid

import msgspec
import pytest
from tests.bureau import Bureau, Clerk, browser
from tests.interfaces.bank.conftest import served  # noqa: F401 - a fixture

from scudo.governance import approvals
from scudo.identity import operators, passkeys
from scudo.kernel import Prefix, ids

pytestmark = pytest.mark.usefixtures("served")


@pytest.fixture(scope="module")
def bureau(served):  # noqa: F811 - the fixture
    """The operators of a bank that has none yet."""
    found = Bureau(served)
    with contextlib.closing(found.http):
        yield found


@pytest.fixture(scope="module")
def founders(bureau):
    """The two that it begins with."""
    return bureau.founders()


@pytest.fixture
def cashier(bureau, founders):
    """Somebody who moves money."""
    anna, bela = founders
    clerk = bureau.hire(anna, f"cashier-{uuid.uuid4().hex[:8]}")
    bureau.grant(anna, bela, clerk, "payments_operator")
    return clerk


@pytest.fixture
def accounts(cashier):
    """Two accounts of two customers; the first has money."""
    found = []
    for _ in range(2):
        body = {"reference": f"c-{uuid.uuid4()}", "kind": "person"}
        customer = cashier.post("/v1/customers", body).json()["id"]
        account = {"customer_id": customer, "currency": "EUR"}
        found.append(cashier.post("/v1/accounts", account).json()["id"])
    return found


def pay(clerk, accounts, amount):
    headers = {"authorization": f"Bearer {clerk.token}", "idempotency-key": f"{uuid.uuid4()}"}
    body = {
        "debit_account_id": accounts[0],
        "credit_account_id": accounts[1],
        "amount_minor": amount,
        "currency": "EUR",
    }
    return clerk.http.post("/v1/payments", json=body, headers=headers)


def events_of(clerk, name):
    """All events of a name, as the log tells them."""
    found, after = [], 0
    while True:
        page = clerk.get("/v1/events", after=after, limit=500).json()
        found += [e for e in page["items"] if e["type"] == name]
        if not page["items"]:
            return found
        after = page["next_after"]


def wait_for(clerk, name, **wanted):
    """The event that the edge has told the writer of, and that is committed in a moment."""
    for _ in range(100):
        for event in events_of(clerk, name):
            if wanted.items() <= event["data"].items():
                return event["data"]
        time.sleep(0.05)
    raise AssertionError(f"no {name} with {wanted}")


class TestOperator:
    def test_does_nothing_before_the_second_passkey(self, bureau, founders):
        """With one passkey somebody logs in and enrols the second; all else is refused."""
        anna, _ = founders
        invited = anna.post("/v1/operators", {"handle": "newcomer"}).json()
        clerk = Clerk(bureau.http)
        assert clerk.enrol(invited["invitation"]).status_code == 201
        assert clerk.log_in().status_code == 201

        refused = clerk.get("/v1/operators")
        added = clerk.add_passkey()

        assert (refused.status_code, refused.json()["code"]) == (403, "second_passkey_missing")
        assert added.json()["passkeys"] == 2
        assert clerk.get("/v1/operators").json()["code"] == "permission_missing"

    def test_is_out_at_the_next_request_after_the_suspension(self, bureau, founders):
        """Suspended, every session is over; reinstated by two people, a new one begins."""
        anna, bela = founders
        clerk = bureau.hire(anna, "leaver")
        assert clerk.get("/v1/operator-sessions").status_code == 200
        body = {"reason": "LEAVE-1"}
        assert anna.post(f"/v1/operators/{clerk.id}/suspension", body).status_code == 200

        refused = clerk.get("/v1/operator-sessions")
        back = clerk.log_in()

        assert (refused.status_code, refused.json()["code"]) == (401, "token_unknown")
        assert (back.status_code, back.json()["code"]) == (401, "assertion_invalid")
        proposed = anna.propose("reinstate_operator", operator_id=clerk.id).json()["id"]
        assert bela.approve(proposed).status_code == 200
        time.sleep(1)
        assert clerk.log_in(device=1).status_code == 201

    def test_gives_no_reason_that_is_somebodys_data(self, bureau, founders):
        """Reasons stay in the log for ever: prose is none, nor a card number or an account."""
        anna, bela = founders
        clerk = bureau.hire(anna, "reasoned")
        change = {"operator_id": clerk.id, "role": "viewer"}
        waits = anna.propose("grant_role", **change).json()["id"]
        shares = ["none"] * 2

        for reason, code in (
            ("4111111111111111", "reference_unfit"),
            ("IT60X0542811101000000123456", "reference_unfit"),
            ("because he asked", "body_invalid"),
        ):
            body = {"reason": reason}
            proposal = {"kind": "grant_role", "change": change, **body}
            said = (
                anna.post("/v1/approvals", proposal),
                bela.post(f"/v1/approvals/{waits}/rejection", body),
                anna.post(f"/v1/operators/{clerk.id}/suspension", body),
                anna.post(f"/v1/operators/{clerk.id}/recovery", body),
                clerk.post("/v1/operator-emergencies", {"shares": shares, **body}),
            )
            assert [answer.json()["code"] for answer in said] == [code] * 5
        assert bela.get(f"/v1/approvals/{waits}").json()["state"] == "pending"

    def test_logs_out(self, founders, bureau):
        """A session that is ended opens nothing; the others go on."""
        _, bela = founders
        other = Clerk(bela.http, bela.devices, bela.id)
        other.log_in()
        mine = next(s for s in other.get("/v1/operator-sessions").json()["items"] if s["is_this"])

        ended = other.ask("DELETE", f"/v1/operator-sessions/{mine['id']}")

        assert ended.status_code == 204
        assert other.get("/v1/operator-sessions").status_code == 401
        assert bela.get("/v1/operator-sessions").status_code == 200

    def test_replays_no_log_in(self, founders):
        """The answer of a passkey is good once."""
        _, bela = founders
        options = bela.post("/v1/operator-sessions/options").json()
        credential = {"credential": bela.devices[0].get(options["get"])}

        first = bela.http.post("/v1/operator-sessions", json=credential)
        again = bela.http.post("/v1/operator-sessions", json=credential)

        assert (first.status_code, again.status_code) == (201, 401)
        assert again.json()["code"] == "assertion_invalid"

    def test_waits_after_failures_and_nobody_elsewhere_does(self, bureau, founders):
        """The fourth log-in after three that failed has to wait; another network's does not."""
        _, bela = founders
        options = bela.post("/v1/operator-sessions/options").json()
        stale = {"credential": bela.devices[0].get(options["get"])}
        assert bela.http.post("/v1/operator-sessions", json=stale).status_code == 201
        with browser(bureau.served.url) as elsewhere:
            failed = [elsewhere.post("/v1/operator-sessions", json=stale) for _ in range(4)]

        assert [answer.status_code for answer in failed] == [401, 401, 401, 429]
        assert failed[-1].json()["code"] == "log_in_throttled"
        assert Clerk(bela.http, bela.devices).log_in().status_code == 201


class TestApproval:
    @pytest.mark.fault(47)
    def test_by_the_proposer_and_for_oneself_is_refused_and_pages(self, bureau, founders):
        """Approved by the proposer, granted to oneself: refused, in the log, with an alarm."""
        anna, _ = founders
        clerk = bureau.hire(anna, "candidate")
        approval = anna.propose("grant_role", operator_id=clerk.id, role="viewer").json()["id"]

        own = anna.approve(approval)
        self_granted = anna.propose("grant_role", operator_id=anna.id, role="auditor")

        assert (own.status_code, own.json()["code"]) == (403, "approved_by_proposer")
        assert (self_granted.status_code, self_granted.json()["code"]) == (403, "self_served")
        for code in ("approved_by_proposer", "self_served"):
            told = wait_for(anna, "governance.approval.refused.v1", code=code, by=anna.id)
            assert told["severity"] == "page"

    def test_shows_what_is_signed_and_can_be_verified_from_the_database(
        self,
        bureau,
        founders,
        served,  # noqa: F811 - the fixture
    ):
        """From the records as PostgreSQL has them, the approver's signature verifies again."""
        anna, bela = founders
        clerk = bureau.hire(anna, "witness")
        approval = anna.propose("grant_role", operator_id=clerk.id, role="viewer").json()["id"]
        shown = bela.get(f"/v1/approvals/{approval}").json()
        assert msgspec.json.decode(shown["document"])["diff"] == {"roles": [[], ["viewer"]]}
        assert bela.approve(approval).json()["state"] == "done"
        number = ids.parse(Prefix.APPROVAL, approval)

        async def stored(kind, thing):
            async with served.bank.reads() as connection:
                cursor = await connection.execute(
                    "SELECT body FROM fabric.record WHERE kind = %s AND thing = %s"
                    " ORDER BY version DESC LIMIT 1",
                    (kind, thing),
                )
                (body,) = await cursor.fetchone()
                return bytes(body)

        record = msgspec.json.decode(served.run(stored(521, number)), type=approvals.Approval)
        operator = msgspec.json.decode(
            served.run(stored(121, record.ended_by)), type=operators.Operator
        )
        key = next(k.passkey for k in operator.keys if k.passkey.id == record.signature.credential)
        assert passkeys.verify_answer(
            passkeys.LOCAL_PARTY,
            operators.assertion_of(record.signature),
            challenge=approvals.challenge_of(number, record.ended_by, record.hash),
            passkey=msgspec.structs.replace(key, sign_count=0),
        )
        assert record.hash.hex() == shown["hash"]
        # The gate's decision on the approver is in the log, too.
        given = wait_for(anna, "governance.approval.given.v1", approval=approval)
        decision = bureau.served.run(self.decision(served, given["decision"]))
        assert decision

    @staticmethod
    async def decision(served, text):  # noqa: F811 - the fixture
        async with served.bank.reads() as connection:
            cursor = await connection.execute(
                "SELECT 1 FROM decisions.decision WHERE id = %s",
                (ids.parse(Prefix.DECISION, text),),
            )
            return await cursor.fetchone()

    def test_ends_by_withdrawal_or_rejection(self, bureau, founders):
        """The proposer takes it back, a second person rejects it; lists show the state."""
        anna, bela = founders
        clerk = bureau.hire(anna, "undecided")
        change = {"operator_id": clerk.id, "role": "viewer"}
        first = anna.propose("grant_role", **change).json()["id"]
        second = anna.propose("grant_role", **change).json()["id"]

        assert anna.post(f"/v1/approvals/{first}/withdrawal").json()["state"] == "withdrawn"
        rejected = bela.post(f"/v1/approvals/{second}/rejection", {"reason": "NO-1"})

        assert rejected.json()["state"] == "rejected"
        listed = bela.get("/v1/approvals", state="rejected", limit=1).json()
        assert [a["id"] for a in listed["items"]] == [second]
        assert bela.get("/v1/approvals", cursor=listed["next_cursor"]).status_code == 200
        assert bela.approve(first).json()["code"] == "approval_ended"


class TestElevation:
    def test_allows_more_for_a_while_and_lapses_with_an_alarm(
        self,
        founders,
        cashier,
        accounts,
        served,  # noqa: F811 - the fixture
    ):
        """Much money needs an elevation; when it is over, the refusal says so and is told."""
        anna, bela = founders
        large = 10_000_001
        before = pay(cashier, accounts, large)
        asked = cashier.propose("elevation", operator_id=cashier.id, role="investigator", minutes=5)
        assert bela.approve(asked.json()["id"]).status_code == 200
        during = pay(cashier, accounts, large)

        register = served.bank.rooms.authority.staff.register
        number = ids.parse(Prefix.OPERATOR, cashier.id)

        async def lapse():
            operator = register.get(number)
            over = tuple(msgspec.structs.replace(e, until=1) for e in operator.elevations)
            changed = msgspec.structs.replace(operator, elevations=over)
            register.restore(number, (register.version(number), changed))

        served.run(lapse())
        after = pay(cashier, accounts, large)

        assert (before.status_code, before.json()["code"]) == (403, "permission_missing")
        # The account is empty: who may try is told so, by the ledger.
        assert during.status_code != 403, during.text
        assert (after.status_code, after.json()["code"]) == (403, "elevation_lapsed")
        told = wait_for(anna, "identity.operator.refused.v1", code="elevation_lapsed")
        assert (told["operator"], told["act"], told["severity"]) == (cashier.id, "pay", "warning")
        assert pay(cashier, accounts, 100).status_code != 403


class TestDuties:
    def test_of_moving_money_and_controlling_it_are_two_peoples(
        self,
        founders,
        cashier,
        accounts,
        served,  # noqa: F811 - the fixture
    ):
        """Who has moved money changes no control for 72 hours, the glass broken or not."""
        anna, _ = founders
        assert pay(cashier, accounts, 100).status_code != 403
        digest, shares = operators.make_shares(shares=3, threshold=2)
        served.run(served.bank.submit(operators.SealBreakGlass(digest, 2, 3)))
        wrong = {"shares": [shares[0], shares[0]], "reason": "FIRE-1"}
        right = {"shares": list(shares[1:]), "reason": "FIRE-1"}
        refused = cashier.post("/v1/operator-emergencies", wrong)
        opened = cashier.post("/v1/operator-emergencies", right)

        invited = cashier.post("/v1/operators", {"handle": "accomplice"})

        assert (refused.status_code, refused.json()["code"]) == (403, "break_glass_wrong")
        assert opened.status_code == 200
        assert (invited.status_code, invited.json()["code"]) == (403, "duties_conflict")
        assert wait_for(anna, "identity.break_glass.opened.v1", operator=cashier.id)
        assert wait_for(anna, "identity.break_glass.refused.v1", operator=cashier.id)
        told = wait_for(anna, "identity.operator.refused.v1", code="duties_conflict")
        assert told["severity"] == "warning"
        reviews = anna.get("/v1/access-reviews").json()["items"]
        assert [r["cause"] for r in reviews] == ["break_glass"]
        line = {"operator_id": cashier.id, "role": "payments_operator", "verdict": "drop"}
        answered = anna.post(f"/v1/access-reviews/{reviews[0]['id']}/answers", line)
        assert answered.status_code == 200
        assert pay(cashier, accounts, 100).json()["code"] == "permission_missing"
