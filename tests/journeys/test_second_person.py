"""What two people decide on, over HTTP: the owner's way while there are none, and its end."""

import contextlib
import uuid

import msgspec
import pytest
from tests.bureau import Bureau
from tests.interfaces.bank.conftest import served  # noqa: F401 - a fixture
from tests.rooms.identity.signing import Signer

pytestmark = pytest.mark.usefixtures("served")

LIMITS = {
    "scopes": ["accounts:read", "payments:read"],
    "tier": "trial",
    "networks": ["192.0.2.0/24"],
    "must_sign": True,
}
WIDER = LIMITS | {"tier": "standard"}
NARROWER = LIMITS | {"scopes": ["payments:read"], "networks": ["192.0.2.0/25"]}
MANDATE = {
    "name": "card_fees",
    "owner": "finance",
    "debit_products": ["current"],
    "currency": "EUR",
    "amount_max_minor": 50_00,
}
KEYS = "/v1/callbacks/partner_ping/keys"


@pytest.fixture(scope="module")
def bureau(served):  # noqa: F811 - the fixture
    found = Bureau(served)
    with contextlib.closing(found.http):
        yield found


@pytest.fixture(scope="module")
def owner(served):  # noqa: F811 - the fixture
    """The installation's own client, that may do everything but drive the clock."""
    found = served.teller(served.token)
    with contextlib.closing(found.http):
        yield found


@pytest.fixture(scope="module")
def partner(owner):
    """A partner that the owner has registered while there was nobody else."""
    body = {"name": f"partner-{uuid.uuid4()}", "environment": "sandbox", **LIMITS}
    made = owner.post("/v1/partners", body)
    assert made.status_code == 201, made.text
    return made.json()["id"]


@pytest.fixture(scope="module")
def alone(owner, partner):
    """What the owner does alone, before there are people: all of it is done."""
    path = f"/v1/partners/{partner}"
    answers = [
        owner.http.put(f"{path}/limits", json=WIDER),
        owner.http.put(f"{path}/limits", json=LIMITS),
        owner.post(f"{path}/keys", {"key": Signer("key-0").jwk}),
        owner.post("/v1/mandates", MANDATE),
        owner.post("/v1/clients", {"name": "alone", "scopes": ["payments:read"]}),
        owner.post(KEYS, {"overlap_s": 0}),
    ]
    return [answer.status_code for answer in answers]


@pytest.fixture(scope="module")
def people(bureau, alone):
    """Two security officers, and two who see to compliance."""
    del alone
    anna, bela = bureau.founders()
    carla, dora = bureau.hire(anna, "carla"), bureau.hire(bela, "dora")
    for clerk in (carla, dora):
        bureau.grant(anna, bela, clerk, "compliance")
    return anna, bela, carla, dora


def elevated(people):
    """The first officer, elevated by the second."""
    anna, bela, *_ = people
    asked = anna.propose("elevation", operator_id=anna.id, role="viewer", minutes=30)
    if asked.status_code == 201:
        assert bela.approve(asked.json()["id"]).status_code == 200
    return anna


def diff(clerk, approval):
    shown = clerk.get(f"/v1/approvals/{approval}").json()
    return msgspec.json.decode(shown["document"])["diff"]


class TestOwner:
    def test_begins_alone(self, alone):
        """While nobody could be the second person, a client with the scope sets it all up."""
        assert alone == [200, 200, 200, 201, 201, 201]

    def test_does_nothing_alone_any_more(self, owner, partner, people, bureau):
        """With two who could decide, each of it is refused by one code, and told."""
        path = f"/v1/partners/{partner}"
        answers = [
            owner.http.put(f"{path}/limits", json=WIDER),
            owner.post(f"{path}/resume"),
            owner.post(f"{path}/keys", {"key": Signer("key-1").jwk}),
            owner.post(f"{path}/certificates", {"thumbprint": "A" * 43}),
            owner.post("/v1/mandates", MANDATE | {"amount_max_minor": 1}),
            owner.post("/v1/clients", {"name": "more", "scopes": ["payments:read"]}),
            owner.post(KEYS, {"overlap_s": 0}),
        ]

        assert {(a.status_code, a.json()["code"]) for a in answers} == {
            (403, "second_person_needed")
        }
        page = owner.get("/v1/events", limit=500).json()["items"]
        told = {e["data"]["kind"] for e in page if e["type"] == "governance.owners_way.refused.v1"}
        assert told >= {"set_partner_limits", "resume_partner", "approve_mandate"}

    def test_narrows_and_suspends_alone(self, owner, partner, people):
        """What takes reach away needs nobody, and holds at once."""
        path = f"/v1/partners/{partner}"
        narrowed = owner.http.put(f"{path}/limits", json=NARROWER)
        suspended = owner.post(f"{path}/suspend")
        shown = owner.get(path).json()

        assert (narrowed.status_code, suspended.status_code) == (200, 200)
        assert shown["networks"] == ["192.0.2.0/25"]
        assert shown["is_suspended"]


class TestPartner:
    def test_is_widened_by_two(self, owner, partner, people):
        """The diff names what changes; one person alone changes nothing, two do."""
        anna, bela, *_ = people
        wide = LIMITS | {"tier": "high", "networks": []}
        before = owner.get(f"/v1/partners/{partner}").json()

        proposed = anna.propose("set_partner_limits", partner_id=partner, **wide).json()["id"]
        own = anna.approve(proposed)
        between = owner.get(f"/v1/partners/{partner}").json()
        approved = bela.approve(proposed)
        after = owner.get(f"/v1/partners/{partner}").json()

        assert diff(anna, proposed)["tier"] == ["trial", "high"]
        assert "must_sign" not in diff(anna, proposed)
        assert (own.json()["code"], between) == ("approved_by_proposer", before)
        assert approved.status_code == 200, approved.text
        assert (after["tier"], after["networks"]) == ("high", [])

    def test_gets_credentials_and_comes_back_by_two(self, owner, partner, people):
        """Keys, certificates and the end of a suspension are approved like limits."""
        anna, bela, *_ = people
        owner.post(f"/v1/partners/{partner}/suspend")
        changes = (
            ("add_partner_key", {"key": Signer("key-2").jwk}),
            ("add_partner_certificate", {"thumbprint": "A" * 43}),
            ("resume_partner", {}),
        )
        for kind, change in changes:
            proposed = anna.propose(kind, partner_id=partner, **change)
            assert proposed.status_code == 201, proposed.text
            assert bela.approve(proposed.json()["id"]).status_code == 200
        shown = owner.get(f"/v1/partners/{partner}").json()

        assert "key-2" in {key["kid"] for key in shown["keys"]}
        assert [c["thumbprint"] for c in shown["certificates"]] == ["A" * 43]
        assert not shown["is_suspended"]
        again = anna.propose("add_partner_key", partner_id=partner, key=Signer("key-2").jwk)
        assert (again.status_code, again.json()["code"]) == (409, "key_name_taken")

    @pytest.mark.parametrize(
        ("kind", "change", "code"),
        [
            (
                "set_partner_limits",
                LIMITS | {"scopes": ["journals:write"]},
                "partner_scope_unknown",
            ),
            ("set_partner_limits", LIMITS | {"networks": ["bank"]}, "network_unfit"),
            ("add_partner_key", {"key": Signer("k").jwk | {"x": "AA"}}, "key_unfit"),
            ("add_partner_certificate", {}, "certificate_unfit"),
            ("resume_partner", {"partner_id": "ptn_00000000000fffff"}, "partner_not_found"),
            ("resume_partner", {"more": 1}, "change_invalid"),
        ],
    )
    def test_is_given_nothing_that_its_record_would_not_take(
        self, partner, people, kind, change, code
    ):
        """What is not a change of a partner becomes no proposal."""
        refused = people[0].propose(kind, **({"partner_id": partner} | change))

        assert refused.json()["code"] == code

    def test_is_not_changed_to_what_it_is(self, partner, people):
        """A proposal without effect is none."""
        anna, _, *_ = people
        shown = anna.get(f"/v1/partners/{partner}").json()
        same = {name: shown[name] for name in ("scopes", "tier", "networks", "must_sign")}

        refused = anna.propose("set_partner_limits", partner_id=partner, **same)

        assert refused.json()["code"] == "change_invalid"

    def test_is_widened_by_no_operator_alone(self, partner, people):
        """An elevated officer narrows at the partner's own route, and does not widen there."""
        anna = elevated(people)
        path = f"/v1/partners/{partner}/limits"

        wider = anna.ask("PUT", path, LIMITS | {"tier": "high", "networks": [], "must_sign": False})
        narrower = anna.ask("PUT", path, NARROWER)

        assert (wider.status_code, wider.json()["code"]) == (403, "second_person_needed")
        assert narrower.status_code == 200, narrower.text


class TestMandate:
    def test_is_approved_by_two(self, owner, people):
        """Who may, proposes it; another approves it; the record names the approval."""
        *_, carla, dora = people
        refused = carla.post("/v1/mandates", MANDATE)
        proposed = carla.propose("approve_mandate", **MANDATE)
        approval = proposed.json()["id"]
        unripe = dora.approve(approval)
        bela = people[1]
        approved = bela.approve(approval)

        assert refused.json()["code"] == "permission_missing"
        assert diff(carla, approval)["amount_max_minor"] == [None, 50_00]
        assert unripe.json()["code"] == "approver_unripe"
        assert approved.status_code == 200, approved.text
        found = [m for m in owner.get("/v1/mandates").json()["mandates"] if m["approval_id"]]
        assert [(m["approval_id"], m["approved_by"], m["version"]) for m in found] == [
            (approval, None, 1)
        ]

        change = MANDATE | {"mandate": found[0]["id"], "amount_max_minor": 60_00}
        changed = carla.propose("approve_mandate", **change).json()["id"]
        assert diff(carla, changed) == {"amount_max_minor": [50_00, 60_00]}
        assert bela.approve(changed).status_code == 200
        same = carla.propose("approve_mandate", **change)
        assert same.json()["code"] == "change_invalid"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"currency": None}, "mandate_malformed"),
            ({"currency": "ZZZ"}, "currency_unknown"),
            ({"mandate": "nothing"}, "mandate_unknown"),
            ({"valid_from": "tomorrow"}, "instant_malformed"),
            ({"account_ids": ["acc_x"]}, "id_malformed"),
        ],
    )
    def test_is_refused_when_it_makes_no_sense(self, people, change, code):
        """Terms that contradict each other become no proposal."""
        refused = people[2].propose("approve_mandate", **(MANDATE | change))

        assert refused.json()["code"] == code, refused.text


class TestClient:
    def test_is_issued_once_by_who_uses_the_approval(self, people):
        """Two want it, one gets the token, for exactly that, once."""
        anna, bela, *_ = people
        body = {"name": "till-7", "scopes": ["payments:read"]}
        proposed = anna.propose("issue_client", **body).json()["id"]
        anna = elevated(people)
        early = anna.post("/v1/clients", body | {"approval_id": proposed})
        assert bela.approve(proposed).status_code == 200

        more = body | {"scopes": ["payments:read", "payments:write"], "approval_id": proposed}
        answers = [
            anna.post("/v1/clients", sent)
            for sent in (
                body,
                more,
                body | {"approval_id": proposed},
                body | {"approval_id": proposed},
            )
        ]

        assert (early.status_code, early.json()["code"]) == (409, "approval_unfit")
        assert [a.status_code for a in answers] == [403, 409, 201, 409]
        token = answers[2].json()["token"]
        headers = {"authorization": f"Bearer {token}"}
        assert anna.http.get("/v1/payments", headers=headers).status_code == 200
        assert anna.http.get("/v1/accounts", headers=headers).status_code == 403

    @pytest.mark.parametrize("scope", ["clients:write", "clock:drive", "mandates:write", "no:such"])
    def test_is_given_nothing_that_is_peoples_own(self, people, scope):
        """Who gives others access, or changes what controls money, is a person."""
        refused = people[0].propose("issue_client", name="till-8", scopes=[scope])

        assert (refused.status_code, refused.json()["code"]) == (422, "scope_unknown")


class TestCallbackKey:
    def test_is_added_by_who_uses_the_approval(self, people):
        """The shared secret is shown once, to whoever adds the key that two people wanted."""
        anna, bela, *_ = people
        change = {"callback": "partner_ping", "overlap_s": 60}
        proposed = anna.propose("add_callback_key", **change).json()["id"]
        assert bela.approve(proposed).status_code == 200
        anna = elevated(people)

        other = anna.post(KEYS, {"overlap_s": 61, "approval_id": proposed})
        added = anna.post(KEYS, {"overlap_s": 60, "approval_id": proposed})
        again = anna.post(KEYS, {"overlap_s": 60, "approval_id": proposed})

        assert (other.status_code, other.json()["code"]) == (409, "approval_unfit")
        assert added.status_code == 201, added.text
        assert added.json()["secret"].startswith("whsec_")
        assert (again.status_code, again.json()["code"]) == (409, "approval_unfit")

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"callback": "nothing"}, "callback_unknown"),
            ({"public_key": "whpk_AA"}, "callback_key_malformed"),
        ],
    )
    def test_is_refused_when_it_is_none(self, people, change, code):
        """An unknown callback and a malformed key become no proposal."""
        whole = {"callback": "partner_ping", "overlap_s": 60} | change
        refused = people[0].propose("add_callback_key", **whole)

        assert refused.json()["code"] == code
