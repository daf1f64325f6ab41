"""The audit trail is found by who, whose, what, when and trace; requests show nothing personal."""

import time
import uuid

import httpx
import pytest

from scudo.bootstrap import now_us
from scudo.fabric.web import PrincipalKind
from scudo.governance import Act, RecordActs
from scudo.kernel import Prefix, ids, rfc3339

OPERATOR, CUSTOMER = 0x7A01, 0x7B01
SOMEBODY = "Aurelia.Montefiore-Oedegard"
CARD = "4539578763621486"


@pytest.fixture
def trace() -> str:
    """A trace of this test alone."""
    return uuid.uuid4().hex


def acted(served, *acts: Act) -> None:
    """Record acts, and wait until they are searched."""
    served.run(served.bank.submit(RecordActs(acts)))
    head = served.bank.conveyor.head.position
    while served.bank.consumers.positions.get("governance.acts", 0) < head:
        time.sleep(0.02)


def found(teller, **query) -> list[dict]:
    """Acts that fit; a search is an act too, and left out here."""
    answer = teller.get("/v1/acts", **query)
    assert answer.status_code == 200, answer.text
    return [act for act in answer.json()["items"] if act["act"] != "audit.list_acts"]


def read_email(trace: str, **changed) -> Act:
    members = {
        "actor": OPERATOR,
        "actor_kind": int(PrincipalKind.OPERATOR),
        "act": "persons.read_email",
        "object": ids.show(Prefix.CUSTOMER, CUSTOMER),
        "whose": CUSTOMER,
        "reason": "cas_1",
        "network": 5,
        "device": 6,
        "trace": trace,
    }
    return Act(**(members | changed))


class TestActs:
    """GET /v1/acts."""

    def test_says_who_what_whose_why_where_when_and_with_what_result(self, served, teller, trace):
        """Everything that the event tells, as clients see it."""
        acted(served, read_email(trace, result="vault_sealed"))

        (act,) = found(teller, trace=trace)

        at, number = act.pop("at"), act.pop("id")
        assert number.startswith("evt_")
        assert at <= rfc3339(now_us())
        assert act == {
            "actor": ids.show(Prefix.OPERATOR, OPERATOR),
            "actor_kind": "operator",
            "act": "persons.read_email",
            "object": ids.show(Prefix.CUSTOMER, CUSTOMER),
            "whose": ids.show(Prefix.CUSTOMER, CUSTOMER),
            "result": "vault_sealed",
            "reason": "cas_1",
            "network": ids.show(Prefix.NETWORK, 5),
            "device": ids.show(Prefix.DEVICE, 6),
            "trace": trace,
        }

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"actor": ids.show(Prefix.OPERATOR, OPERATOR)}, {"a", "b", "c"}),
            ({"actor": ids.show(Prefix.PARTNER, OPERATOR)}, {"d"}),
            ({"whose": ids.show(Prefix.CUSTOMER, CUSTOMER)}, {"a", "c", "d"}),
            ({"thing": "flg_one"}, {"c"}),
            (
                {
                    "actor": ids.show(Prefix.OPERATOR, OPERATOR),
                    "whose": ids.show(Prefix.CUSTOMER, CUSTOMER),
                },
                {"a", "c"},
            ),
            ({"whose": ids.show(Prefix.CUSTOMER, 1)}, set()),
        ],
    )
    def test_are_found_by_each_and_by_all_that_is_asked(
        self, served, teller, trace, query, expected
    ):
        """Conditions narrow; a number of another kind is somebody else."""
        acted(
            served,
            read_email(trace, act="a"),
            read_email(trace, act="b", whose=CUSTOMER + 1),
            read_email(trace, act="c", object="flg_one"),
            read_email(trace, act="d", actor_kind=int(PrincipalKind.PARTNER)),
        )

        assert {act["act"] for act in found(teller, trace=trace, **query)} == expected

    def test_are_found_by_time(self, served, teller, trace):
        """From the first instant on, up to before the second."""
        acted(served, read_email(trace, act="first"))
        between = rfc3339(now_us())
        acted(served, read_email(trace, act="second"))

        assert [a["act"] for a in found(teller, trace=trace, until=between)] == ["first"]
        assert [a["act"] for a in found(teller, trace=trace, since=between)] == ["second"]

    def test_come_by_pages_newest_first(self, served, teller, trace):
        """No act is shown twice, none is left out."""
        acted(served, *(read_email(trace, act=f"act_{number}") for number in range(7)))
        seen, cursor = [], None
        while True:
            more = {} if cursor is None else {"cursor": cursor}
            page = teller.get("/v1/acts", trace=trace, limit=3, **more).json()
            seen += [act["act"] for act in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break

        assert seen == [f"act_{number}" for number in reversed(range(7))]

    def test_a_search_is_an_act_itself(self, served, teller):
        """Who looked, and for whom."""
        whose = ids.show(Prefix.CUSTOMER, 0x7C01)
        looked = teller.get("/v1/acts", whose=whose)
        acted(served, read_email("x", act="later"))

        acts = teller.get("/v1/acts", whose=whose).json()["items"]

        assert looked.json()["items"] == []
        assert [(act["act"], act["actor_kind"]) for act in acts] == [("audit.list_acts", "client")]
        assert acts[0]["trace"] == looked.headers["scudo-trace-id"]

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ({"actor": "acc_0000000000000001"}, "id_malformed"),
            ({"actor": "opr_1"}, "id_malformed"),
            ({"whose": "opr_0000000000000001"}, "id_malformed"),
            ({"since": "yesterday"}, "instant_malformed"),
            ({"cursor": "AAAA"}, "cursor_malformed"),
            ({"limit": 0}, "query_invalid"),
        ],
    )
    def test_refuse_what_cannot_be_asked(self, teller, query, code):
        """Each with its code."""
        answer = teller.get("/v1/acts", **query)

        assert (answer.status_code, answer.json()["code"]) == (400, code)

    @pytest.mark.parametrize("path", ["/v1/acts", "/v1/requests"])
    def test_are_for_auditors_only(self, teller, teller_for, path):
        """Neither another scope nor a customer's own token opens the trail."""
        assert teller_for("decisions:read").get(path).status_code == 403
        customer = ids.parse(Prefix.CUSTOMER, teller.customer())
        assert teller_for("audit:read", customer=customer).get(path).status_code == 403


def requests(teller, trace: str) -> list[dict]:
    """The request of a trace, once it is written."""
    for _ in range(200):
        items = teller.get("/v1/requests", trace=trace).json()["items"]
        if items:
            return items
        time.sleep(0.02)
    return []


class TestRequests:
    """What was asked of the back office, and answered."""

    def test_every_answer_names_its_trace(self, served, teller):
        """Answers, refusals, and what met no operation."""
        answers = [
            teller.get("/v1/alerts"),
            teller.get("/v1/decisions/dec_1"),
            teller.get("/nowhere"),
            httpx.get(served.url + "/v1/acts"),
            httpx.get(served.url + "/health/live"),
        ]

        traces = {answer.headers["scudo-trace-id"] for answer in answers}
        assert len(traces) == 5

    def test_an_order_is_found_by_its_trace_with_its_texts_masked(self, teller):
        """Who, what, when and with what answer; nothing that might be about a person."""
        made = teller.post("/v1/customers", {"reference": SOMEBODY, "kind": "person"})

        (request,) = requests(teller, made.headers["scudo-trace-id"])

        assert request["operation"] == "register_customer"
        assert (request["status"], request["code"]) == (201, "")
        assert request["actor_kind"] == "client"
        assert request["network"].startswith("ip_")
        assert made.json()["id"] in request["answered"]
        assert f'"reference":"*{len(SOMEBODY)}"' in request["asked"]
        assert "Aurelia" not in str(request)

    def test_a_refusal_is_found_with_its_code_and_without_its_words(self, teller):
        """Words of a refusal may quote what was sent."""
        refused = teller.get("/v1/customers/cus_7fffffffffffffff")

        (request,) = requests(teller, refused.headers["scudo-trace-id"])

        assert (request["status"], request["code"]) == (404, "customer_not_found")
        assert "cus_7fffffffffffffff" in request["asked"]
        assert request["answered"] == ""

    def test_a_secret_that_is_shown_once_is_not_kept(self, teller):
        """A client's token."""
        made = teller.post("/v1/clients", {"name": CARD, "scopes": ["audit:read"]})

        (request,) = requests(teller, made.headers["scudo-trace-id"])

        assert made.json()["token"] not in str(request)
        assert CARD not in str(request)

    def test_payments_are_left_to_the_log(self, teller):
        """Orders and balances would be kept twice, at the cost of whoever pays."""
        account = teller.account(funds=100)
        paid = teller.get(f"/v1/accounts/{account}/balance")
        after = teller.get("/v1/alerts").headers["scudo-trace-id"]

        assert requests(teller, after) != []
        answer = teller.get("/v1/requests", trace=paid.headers["scudo-trace-id"])
        assert answer.json()["items"] == []
