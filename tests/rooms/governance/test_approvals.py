"""Claims about approvals: two people, one change, carried out once, and provable later."""

import msgspec
import pytest
from tests.operating import DAY, HOUR, PARTY, Office

from scudo.governance import Ruling, Shut, approvals
from scudo.governance.approvals import events
from scudo.identity import operators, passkeys
from scudo.identity.operators.permissions import shipped_policies

EXTRA = """
permit (principal in Role::"security_officer",
        action in [Action::"propose_set_limit", Action::"approve_set_limit"], resource);
"""


class LimitChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new limit."""

    limit: int


class Limit:
    """A thing that is changed by approval only: the kind is its one registration."""

    def __init__(self):
        self.value = 100
        self.done = []
        self.is_frozen = False

    def kind(self):
        return approvals.ApprovalKind(
            name="set_limit",
            change=LimitChange,
            describe=lambda change: approvals.Description(
                {"limit": (self.value, change.limit)}, f"The limit is {change.limit}"
            ),
            demand=self.demand,
            execute=self.execute,
            emergency_us=HOUR,
        )

    def demand(self, change, now):
        if self.is_frozen or change.limit < 0:
            message = "no limit is set now"
            raise approvals.errors.ApprovalStale(message)

    def execute(self, change, entry, decided):
        self.value = change.limit
        self.done.append(decided)


@pytest.fixture
def limit():
    return Limit()


@pytest.fixture
def office(limit):
    """An office in which a limit may be set, by two people."""
    return Office(limit.kind(), policies=shipped_policies() + EXTRA)


@pytest.fixture
def people(office):
    """The two founders."""
    return office.founders()


class TestApproval:
    def test_carries_the_change_out_for_both_people(self, office, people, limit):
        """A second person's signature changes what was proposed, once, with an event."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)
        assert limit.value == 100

        outcome = office.approve(bela, number)

        assert (outcome.status, outcome.body["state"], limit.value) == (200, "done", 200)
        given = outcome.told(events.ApprovalGiven)
        assert (given.proposer, given.approver) == (anna.number, bela.number)
        assert (limit.done[0].proposer, limit.done[0].approver) == (anna.number, bela.number)
        assert office.gate.asked[0].customer == bela.number

    def test_is_given_once(self, office, people, limit):
        """The same approval again, or a second signature, carries nothing out."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)
        office.approve(bela, number)

        again = office.approve(bela, number)

        assert (again.status, again.code, len(limit.done)) == (409, "approval_ended", 1)

    def test_says_exactly_what_changes(self, office, people):
        """The document holds kind, change, diff, effect, proposer and reason, canonically."""
        anna, _ = people
        approval = office.approval(office.proposed(anna, "set_limit", limit=200))

        assert msgspec.json.decode(approval.document) == {
            "kind": "set_limit",
            "change": {"limit": 200},
            "diff": {"limit": [100, 200]},
            "effect": "The limit is 200",
            "proposer": anna.id,
            "reason": "CASE-1",
        }
        assert approval.document == approvals.canonical(msgspec.json.decode(approval.document))

    def test_can_be_verified_from_the_log_alone(self, office, people):
        """From the records as they are stored an auditor verifies who has signed what."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)
        office.approve(bela, number)
        # What the log keeps: JSON bodies of the two records, the operator's as it was before.
        stored = msgspec.json.encode(office.approval(number))
        keys = msgspec.json.encode(office.staff.find(bela.number))

        approval = msgspec.json.decode(stored, type=approvals.Approval)
        operator = msgspec.json.decode(keys, type=operators.Operator)
        passkey = next(
            k.passkey for k in operator.keys if k.passkey.id == approval.signature.credential
        )
        as_enrolled = msgspec.structs.replace(passkey, sign_count=0)
        challenge = approvals.challenge_of(number, approval.ended_by, approval.hash)
        assertion = operators.assertion_of(approval.signature)
        assert passkeys.verify_answer(PARTY, assertion, challenge=challenge, passkey=as_enrolled)
        forged = msgspec.structs.replace(approval, document=approval.document.replace("200", "900"))
        with pytest.raises(passkeys.AssertionInvalid):
            passkeys.verify_answer(
                PARTY,
                assertion,
                challenge=approvals.challenge_of(number, approval.ended_by, forged.hash),
                passkey=as_enrolled,
            )


class TestRefusedApproval:
    """Each leaves an event with its code and severity, and changes nothing."""

    def refused(self, outcome, code, severity, limit):
        assert (outcome.code, limit.value) == (code, 100)
        told = outcome.told(events.ApprovalRefused)
        assert (told.code, told.severity) == (code, severity)

    @pytest.mark.fault(47)
    def test_of_the_proposer_pages(self, office, people, limit):
        """Nobody approves what they proposed; whoever tries wakes somebody."""
        anna, _ = people
        number = office.proposed(anna, "set_limit", limit=200)

        self.refused(office.approve(anna, number), "approved_by_proposer", "page", limit)
        assert office.approval(number).state == "pending"

    @pytest.mark.fault(47)
    def test_of_the_subject_pages(self, office, people):
        """Nobody proposes a role for themselves, or approves one for themselves."""
        anna, bela = people
        asked = office.propose(anna, "grant_role", operator_id=anna.id, role="engineer")
        number = office.proposed(anna, "grant_role", operator_id=bela.id, role="engineer")

        given = office.approve(bela, number)

        for outcome in (asked, given):
            assert (outcome.status, outcome.code) == (403, "self_served")
            assert outcome.told(events.ApprovalRefused).severity == "page"
        assert office.roles(bela) == {"security_officer"}

    def test_of_somebody_without_the_right(self, office, people, limit):
        """The approver's role must allow it."""
        anna, _ = people
        clerk = office.hire(anna, "clerk")
        number = office.proposed(anna, "set_limit", limit=200)

        self.refused(office.approve(clerk, number), "permission_missing", "notice", limit)

    def test_when_the_proposer_has_lost_the_right(self, office, people, limit):
        """Both people's rights are those of the moment at which the change is carried out."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)
        office.do(operators.SuspendOperator(bela.number, anna.number, "CASE-2"))

        assert office.approve(bela, number).status == 404
        assert limit.value == 100

    @pytest.mark.parametrize("hours", [1, 71])
    def test_of_somebody_enrolled_a_short_while_ago(self, office, people, limit, hours):
        """For 72 hours after the enrolment nobody approves; afterwards they do."""
        anna, bela = people
        carla = office.hire(bela, "carla", rests=False)
        office.grant(anna, bela, carla, "security_officer")
        office.now += hours * HOUR
        number = office.proposed(anna, "set_limit", limit=200)

        self.refused(office.approve(carla, number), "approver_unripe", "warning", limit)

        office.now += (72 - hours) * HOUR
        number = office.proposed(anna, "set_limit", limit=200)
        assert office.approve(carla, number).status == 200

    def test_by_a_passkey_enrolled_a_short_while_ago(self, office, people, limit):
        """A new device of an old colleague does not sign for 72 hours; the old one does."""
        anna, bela = people
        office.now += 30 * DAY
        office.enrol(bela)
        number = office.proposed(anna, "set_limit", limit=200)

        self.refused(office.approve(bela, number, device=2), "approver_unripe", "warning", limit)
        assert office.approve(bela, number, device=0).status == 200

    def test_of_somebody_who_owes_access_to_the_proposer(self, office, people, limit):
        """Whom the proposer invited does not approve, however long ago that was."""
        anna, bela = people
        carla = office.hire(anna, "carla")
        office.grant(anna, bela, carla, "security_officer")
        office.now += 400 * DAY
        number = office.proposed(anna, "set_limit", limit=200)

        self.refused(office.approve(carla, number), "approver_dependent", "warning", limit)

    def test_of_somebody_elevated_or_recovered_lately(self, office, people, limit):
        """An elevation and a recovery count like an enrolment, for 72 hours."""
        anna, bela = people
        carla, dora = office.hire(bela, "carla"), office.hire(anna, "dora")
        for colleague in (carla, dora):
            office.grant(anna, bela, colleague, "security_officer")
        change = {"operator_id": carla.id, "role": "engineer", "minutes": 30}
        assert office.approve(anna, office.proposed(bela, "elevation", **change)).status == 200
        office.now += 71 * HOUR
        number = office.proposed(dora, "set_limit", limit=200)
        self.refused(office.approve(carla, number), "approver_unripe", "warning", limit)

        office.now += 30 * DAY
        office.recover(bela, carla)
        office.grant(anna, bela, carla, "security_officer")
        number = office.proposed(dora, "set_limit", limit=200)
        self.refused(office.approve(carla, number), "approver_unripe", "warning", limit)

        office.now += 3 * DAY
        number = office.proposed(dora, "set_limit", limit=200)
        assert office.approve(carla, number).status == 200

    @pytest.mark.parametrize("of", ["another approval", "another person", "nothing"])
    def test_by_a_signature_of_something_else(self, office, people, limit, of):
        """A signature is good for one approval by one person; nothing else fits."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)
        other = office.proposed(anna, "set_limit", limit=900)
        signature = office.sign(bela, number)
        if of == "another approval":
            signature = office.sign(bela, number, of=other)
        elif of == "another person":
            signature = office.sign(anna, number)
        else:
            signature = msgspec.structs.replace(signature, signature=b"")

        outcome = office.do(approvals.Approve(bela.number, number, signature))

        self.refused(outcome, "assertion_invalid", "warning", limit)

    def test_when_the_thing_has_changed_since(self, office, people, limit):
        """The diff is made anew: what was signed is what would be done, or nothing is."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)
        limit.value = 150

        outcome = office.approve(bela, number)

        assert (outcome.code, limit.value) == ("approval_stale", 150)

    def test_when_its_precondition_does_not_hold_any_more(self, office, people, limit):
        """Preconditions are looked at again."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)
        limit.is_frozen = True

        self.refused(office.approve(bela, number), "approval_stale", "notice", limit)

    @pytest.mark.parametrize("ruling", [Ruling.HOLD, Ruling.STEP_UP, Ruling.DECLINE, Ruling.BLOCK])
    def test_when_the_gate_says_no(self, office, people, limit, ruling):
        """A gate that does not allow it stops it; what it decided stays in the log."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)
        office.gate.ruling = ruling

        self.refused(office.approve(bela, number), "operator_act_declined", "notice", limit)

    def test_when_no_gate_is_there(self, office, people, limit):
        """Unfilled, the port refuses: nothing goes around it."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)
        office.authority.approvals.gates = Shut()

        self.refused(office.approve(bela, number), "gate_shut", "notice", limit)

    def test_of_what_is_not_there(self, office, people, limit):
        """An unknown approval is refused, with a trace."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)
        signature = office.sign(bela, number)

        outcome = office.do(approvals.Approve(bela.number, 999_999, signature))

        self.refused(outcome, "approval_not_found", "notice", limit)


class TestProposal:
    @pytest.mark.parametrize(
        ("kind", "change", "code"),
        [
            ("set_nothing", {"limit": 1}, "approval_kind_unknown"),
            ("set_limit", {"limit": "many"}, "change_invalid"),
            ("set_limit", {"limit": 1, "more": 2}, "change_invalid"),
            ("set_limit", {}, "change_invalid"),
            ("set_limit", {"limit": -1}, "approval_stale"),
            ("grant_role", {"operator_id": "opr_1", "role": "auditor"}, "id_malformed"),
        ],
    )
    def test_is_refused_when_it_says_nothing_that_can_be_done(
        self, office, people, kind, change, code
    ):
        """Unknown kinds, wrong changes and impossible ones become no proposal."""
        outcome = office.propose(people[0], kind, **change)

        assert outcome.code == code
        assert outcome.told(events.ApprovalRefused).code == code

    def test_ends_by_rejection_of_another_person(self, office, people, limit):
        """A second person ends it; the proposer and people without the right do not."""
        anna, bela = people
        clerk = office.hire(anna, "clerk")
        number = office.proposed(anna, "set_limit", limit=200)
        by_self = office.do(approvals.Reject(anna.number, number, "no"))
        by_clerk = office.do(approvals.Reject(clerk.number, number, "no"))
        rejected = office.do(approvals.Reject(bela.number, number, "no"))

        assert (by_self.code, by_clerk.code) == ("approved_by_proposer", "permission_missing")
        assert rejected.told(events.ApprovalRejected).by == bela.number
        assert office.approve(bela, number).code == "approval_ended"

    def test_ends_by_withdrawal_of_the_proposer(self, office, people):
        """Only who proposed it takes it back."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)

        assert office.do(approvals.Withdraw(bela.number, number)).code == "not_proposer"
        withdrawn = office.do(approvals.Withdraw(anna.number, number))
        assert withdrawn.told(events.ApprovalWithdrawn).approval == number
        assert office.approve(bela, number).code == "approval_ended"

    def test_ends_by_itself(self, office, people, limit):
        """After its life nobody approves it, and the log is told, once."""
        anna, bela = people
        number = office.proposed(anna, "set_limit", limit=200)
        office.now += DAY

        assert office.approve(bela, number).code == "approval_ended"
        assert office.tick() == [events.ApprovalExpired(number)]
        assert office.tick() == []
        assert office.approval(number).state == "expired"

    def test_of_an_emergency_pages_and_lives_short(self, office, people):
        """An emergency tells whoever is on call, and waits an hour; nothing else is waived."""
        anna, bela = people
        outcome = office.propose(anna, "set_limit", emergency=True, limit=200)
        told = outcome.told(events.ApprovalProposed)
        number = told.approval

        assert told.severity == "page"
        assert office.approve(anna, number).code == "approved_by_proposer"
        office.now += HOUR
        assert office.approve(bela, number).code == "approval_ended"

    def test_of_an_emergency_needs_a_kind_that_has_one(self, office, people):
        """Roles are granted in no hurry."""
        anna, _ = people
        carla = office.hire(anna, "carla")
        outcome = office.propose(
            anna, "grant_role", emergency=True, operator_id=carla.id, role="engineer"
        )

        assert outcome.code == "no_emergency_path"
