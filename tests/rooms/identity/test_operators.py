"""Claims about operators: who comes in, for how long, and what is refused and told."""

import hashlib
import secrets

import msgspec
import pytest
from tests.operating import DAY, HOUR, PARTY, Office

from scudo.fabric import web
from scudo.governance.events import ActRecorded
from scudo.identity import operators, passkeys
from scudo.identity.operators import Act, Circumstances, Permissions, Rule, Throttle, events
from scudo.identity.operators.errors import BreakGlassUnfit, LogInThrottled
from scudo.simulation import Authenticator

MINUTE = HOUR // 60
READ = Act("list_payments", "payments:read", "payments")


@pytest.fixture
def office():
    """An office without anybody."""
    return Office()


@pytest.fixture
def people(office):
    """The two founders."""
    return office.founders()


def failed_log_in(office, assertion, challenge):
    return office.do(operators.LogIn(assertion, challenge, secrets.token_bytes(32), 7, "trace"))


class TestFounders:
    def test_are_two_and_come_once(self, office, people):
        """The bank begins with two security officers; nobody else comes that way."""
        again = office.do(operators.EnrolFirst(("c", "d"), (b"1" * 32, b"2" * 32)))

        assert [office.roles(p) for p in people] == [{"security_officer"}] * 2
        assert (again.status, again.code) == (409, "operators_exist")

    def test_are_two_people(self, office):
        """One handle twice is refused."""
        outcome = office.do(operators.EnrolFirst(("anna", "anna"), (b"1" * 32, b"2" * 32)))

        assert outcome.code == "handle_taken"
        assert office.staff.everybody() == frozenset()


class TestEnrolment:
    def test_is_by_an_invitation_once_and_in_time(self, office, people):
        """An invitation is good for one passkey, for three days; others are refused alike."""
        anna, _ = people
        token = secrets.token_bytes(32)
        invited = office.do(operators.InviteOperator(anna.number, "carla", token))
        carla = office._enrolled(invited.body, token)
        used = office.enrol(carla, invitation=token)
        late = secrets.token_bytes(32)
        office.do(operators.InviteOperator(anna.number, "dora", late))
        office.now += 3 * DAY
        expired = office.enrol(carla, invitation=late)

        assert len(carla.devices) == 2
        for outcome in (used, expired):
            assert (outcome.status, outcome.code) == (401, "invitation_invalid")
            assert outcome.told(events.OperatorRefused).code == "invitation_invalid"

    def test_takes_a_handle_once(self, office, people):
        """A handle names one person."""
        outcome = office.do(operators.InviteOperator(people[0].number, "bela", b"x" * 32))

        assert outcome.code == "handle_taken"

    def test_of_a_further_passkey_is_signed_by_one_that_is_there(self, office, people):
        """A stolen session alone enrols nothing: another person's or no proof is refused."""
        anna, bela = people
        challenge = secrets.token_bytes(32)
        passkey = passkeys.Passkey(b"new", b"key")
        foreign = office.answer(bela.devices[0], challenge)
        for proof in (None, foreign):
            outcome = office.do(operators.EnrolPasskey(anna.number, b"", passkey, proof, challenge))
            assert (outcome.status, outcome.code) == (401, "assertion_invalid")
        assert len(office.staff.find(anna.number).keys) == 2

    def test_takes_a_passkey_once_and_so_many(self, office, people):
        """Nobody shares a passkey, and nobody collects them."""
        anna, bela = people
        challenge = secrets.token_bytes(32)
        known = office.staff.find(bela.number).keys[0].passkey
        proof = office.answer(anna.devices[0], challenge)
        taken = office.do(operators.EnrolPasskey(anna.number, b"", known, proof, challenge))
        for _ in range(6):
            assert office.enrol(anna).status == 201

        assert taken.code == "passkey_known"
        assert office.enrol(anna).code == "passkeys_full"


class TestSession:
    def test_is_known_by_its_token_only(self, office, people):
        """The token gives an operator without scopes; another token gives nobody."""
        anna, _ = people
        token = office.log_in(anna)

        principal = office.staff.authenticate(token, office.now)

        assert (principal.id, principal.kind) == (anna.number, web.PrincipalKind.OPERATOR)
        assert principal.scopes == frozenset()
        assert office.staff.authenticate(token + "x", office.now) is None

    def test_keeps_no_token(self, office, people):
        """Neither memory nor the record holds the token, only its SHA-256."""
        token = office.log_in(people[0])
        stored = msgspec.json.encode(office.staff.find(people[0].number))

        assert token.encode() not in stored
        assert hashlib.sha256(token.encode()).digest() == (
            office.staff.find(people[0].number).sessions[0].token_hash
        )

    def test_ends_when_it_is_not_used(self, office, people):
        """Fifteen minutes without a request end it; requests keep it for eight hours at most."""
        anna, _ = people
        token = office.log_in(anna)
        for _ in range(34):
            office.now += 14 * MINUTE
            assert office.staff.authenticate(token, office.now)
        office.now += 14 * MINUTE
        with pytest.raises(web.errors.SessionOver):
            office.staff.authenticate(token, office.now)

        token = office.log_in(anna)
        office.now += 15 * MINUTE
        with pytest.raises(web.errors.SessionOver):
            office.staff.authenticate(token, office.now)

    def test_ends_at_once_when_it_is_ended_or_its_operator_shut_out(self, office, people):
        """The next request after the commit finds nobody."""
        anna, bela = people
        first, second = office.log_in(bela), office.log_in(bela)
        session = office.staff.authenticate(first, office.now).session
        office.do(operators.EndSession(bela.number, bela.number, session))
        assert office.staff.authenticate(first, office.now) is None
        assert office.staff.authenticate(second, office.now)

        office.do(operators.SuspendOperator(anna.number, bela.number, "CASE-3"))
        assert office.staff.authenticate(second, office.now) is None

    def test_of_another_is_not_ended(self, office, people):
        """A session number that is not one's own is as if it were none."""
        anna, bela = people
        session = office.staff.authenticate(office.log_in(bela), office.now).session

        outcome = office.do(operators.EndSession(anna.number, anna.number, session))

        assert outcome.code == "operator_session_not_found"

    def test_makes_the_oldest_end_when_there_are_many(self, office, people):
        """Of one operator five sessions hold."""
        tokens = [office.log_in(people[0]) for _ in range(6)]

        assert office.staff.authenticate(tokens[0], office.now) is None
        assert all(office.staff.authenticate(t, office.now) for t in tokens[1:])


class TestRefusedLogIn:
    def test_answers_the_known_and_the_unknown_alike(self, office, people):
        """Unknown, foreign, replayed, suspended: one answer, and an act in the log."""
        anna, bela = people
        challenge = secrets.token_bytes(32)
        stranger = Authenticator()
        stranger.create(
            passkeys.registration_options(PARTY, challenge=challenge, user=b"u", name="x", known=())
        )
        good = office.answer(bela.devices[0], challenge)
        wrong = msgspec.structs.replace(good, signature=good.signature[:-2] + b"xx")
        office.do(operators.SuspendOperator(anna.number, bela.number, "CASE-4"))
        suspended = office.answer(bela.devices[1], challenge)

        outcomes = [
            failed_log_in(office, office.answer(stranger, challenge), challenge),
            failed_log_in(office, wrong, challenge),
            failed_log_in(office, suspended, challenge),
            failed_log_in(office, office.answer(anna.devices[0], challenge), bytes(32)),
        ]

        assert len({msgspec.json.encode(o.body) for o in outcomes}) == 1
        assert {o.status for o in outcomes} == {401}
        acts = [o.told(ActRecorded) for o in outcomes]
        assert {a.result for a in acts} == {"assertion_invalid"}
        assert [a.actor for a in acts] == [0, bela.number, bela.number, anna.number]

    def test_of_a_copied_passkey_is_refused(self, office, people):
        """A counter that goes back tells of a copy."""
        anna, _ = people
        office.log_in(anna)
        anna.devices[0].sign_count = 0
        challenge = secrets.token_bytes(32)

        outcome = failed_log_in(office, office.answer(anna.devices[0], challenge), challenge)

        assert outcome.code == "assertion_invalid"

    def test_makes_wait_longer_each_time_and_nobody_for_good(self):
        """After three failures the waits double to a minute; elsewhere nobody waits."""
        throttle, now, waits = Throttle(), 1_000_000_000, []
        here, there = ("10.0.0.1", b"key"), ("10.0.0.2", b"key")
        for _ in range(11):
            throttle.failed(here, now=now)
            wait = 0
            while True:
                try:
                    throttle.demand(here, now=now + wait)
                    break
                except LogInThrottled:
                    wait += 500_000
            waits.append(wait // 1_000_000)
            throttle.demand(there, now=now)

        assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 64, 64, 64]

    def test_forgets_failures_when_somebody_is_in(self):
        """Who is in does not wait the next time."""
        throttle = Throttle()
        for _ in range(9):
            throttle.failed(("n",), now=0)
        with pytest.raises(LogInThrottled):
            throttle.demand(("n",), now=0)
        throttle.succeeded(("n",))
        assert throttle.demand(("n",), now=0) is None


class TestChallenge:
    def test_is_good_once_for_its_purpose_and_for_five_minutes(self):
        """A second time, for another purpose, too late, or not ours: refused."""
        challenges = operators.Challenges()
        made = challenges.make(b"log in", now=0)
        for challenge, purpose, now in (
            (made, b"enrol", 0),
            (made, b"log in", 5 * MINUTE),
            (operators.Challenges().make(b"log in", now=0), b"log in", 0),
            (b"", b"log in", 0),
            (made[:-1] + b"x", b"log in", 0),
        ):
            with pytest.raises(passkeys.AssertionInvalid):
                challenges.take(challenge, purpose, now=now)
        challenges.take(made, b"log in", now=1)
        with pytest.raises(passkeys.AssertionInvalid):
            challenges.take(made, b"log in", now=2)


class TestRoles:
    def test_of_one_person_do_not_move_money_and_control_it(self, office, people):
        """Conflicting roles are refused at the grant, whichever comes first."""
        anna, bela = people
        carla = office.hire(anna, "carla")
        office.grant(anna, bela, carla, "payments_operator")

        for role in ("security_officer", "compliance", "auditor"):
            outcome = office.propose(anna, "grant_role", operator_id=carla.id, role=role)
            assert (outcome.status, outcome.code) == (403, "duties_conflict")

    @pytest.mark.parametrize(
        ("kind", "change", "code"),
        [
            ("grant_role", {"role": "break_glass"}, "role_unknown"),
            ("grant_role", {"role": "viewer"}, "role_held"),
            ("drop_role", {"role": "auditor"}, "role_held"),
            ("reinstate_operator", {}, "operator_state_conflict"),
            ("elevation", {"role": "break_glass", "minutes": 30}, "role_unknown"),
        ],
    )
    def test_change_only_as_they_can(self, office, people, kind, change, code):
        """What nobody is given, what somebody has or lacks, is refused."""
        anna, bela = people
        carla = office.hire(anna, "carla")
        office.grant(anna, bela, carla, "viewer")

        assert office.propose(anna, kind, operator_id=carla.id, **change).code == code

    def test_are_dropped_and_come_back_by_two_people(self, office, people):
        """Dropping and reinstating are approvals too."""
        anna, bela = people
        carla = office.hire(anna, "carla")
        office.grant(anna, bela, carla, "viewer")
        office.do(operators.SuspendOperator(anna.number, carla.number, "CASE-5"))
        number = office.proposed(anna, "reinstate_operator", operator_id=carla.id)
        assert office.approve(bela, number).told(events.OperatorReinstated)
        number = office.proposed(anna, "drop_role", operator_id=carla.id, role="viewer")
        assert office.approve(bela, number).told(events.RoleDropped).role == "viewer"
        assert office.roles(carla) == set()

    def test_need_two_passkeys(self, office, people):
        """With one passkey no role allows anything, approvals included."""
        anna, _ = people
        operator = office.staff.find(anna.number)
        office.staff.register.restore(
            anna.number, (9, msgspec.structs.replace(operator, keys=operator.keys[:1]))
        )

        outcome = office.propose(anna, "elevation", operator_id=anna.id, role="engineer", minutes=9)
        assert outcome.code == "second_passkey_missing"

    def test_do_not_change_by_their_holder(self, office, people):
        """Nobody suspends or recovers themselves; whoever tries wakes somebody."""
        anna, _ = people
        for command in (
            operators.SuspendOperator(anna.number, anna.number, "CASE-6"),
            operators.RecoverOperator(anna.number, anna.number, b"t" * 32, "CASE-6"),
        ):
            outcome = office.do(command)
            assert (outcome.status, outcome.code) == (403, "self_administered")
            assert outcome.told(events.OperatorRefused).severity == "page"

    def test_are_gone_with_a_recovery(self, office, people):
        """Whoever has somebody recovered cannot become them: nothing is left but the handle."""
        anna, bela = people
        token = office.log_in(bela)

        outcome = office.recover(anna, bela)

        assert outcome.told(events.OperatorRecovered).severity == "warning"
        assert office.roles(bela) == set()
        assert office.staff.authenticate(token, office.now) is None


class TestElevation:
    def elevated(self, office, people, minutes=30):
        anna, bela = people
        carla = office.hire(anna, "carla")
        office.grant(anna, bela, carla, "engineer")
        number = office.proposed(
            carla, "elevation", operator_id=carla.id, role="investigator", minutes=minutes
        )
        assert office.approve(bela, number).told(events.ElevationBegun).reason == "CASE-1"
        return carla

    def test_gives_a_role_for_its_minutes(self, office, people):
        """It is there at once, and gone by itself; the log is told once."""
        carla = self.elevated(office, people)
        office.staff.permissions.compile(operators.every_role(), [READ])
        assert office.roles(carla) == {"engineer", "investigator"}
        office.staff.demand(carla.number, "list_payments", now=office.now)

        office.now += 30 * MINUTE

        assert office.roles(carla) == {"engineer"}
        assert office.tick() == [events.ElevationLapsed(carla.number, "investigator")]
        assert office.tick() == []

    def test_that_is_over_is_refused_by_its_name(self, office, people):
        """What the elevation allowed is refused as lapsed, other things as never allowed."""
        carla = self.elevated(office, people)
        office.staff.permissions.compile(operators.every_role(), [READ])
        office.now += 30 * MINUTE

        with pytest.raises(web.errors.ElevationLapsed):
            office.staff.demand(carla.number, "list_payments", now=office.now)
        with pytest.raises(web.errors.PermissionMissing):
            office.staff.demand(carla.number, "approve_grant_role", now=office.now)

    def test_is_not_approved_by_who_has_it(self, office, people):
        """One may ask for oneself, and not answer."""
        anna, _ = people
        number = office.proposed(
            anna, "elevation", operator_id=anna.id, role="engineer", minutes=30
        )

        assert office.approve(anna, number).code == "approved_by_proposer"


class TestBreakGlass:
    def sealed(self, office):
        digest, shares = operators.make_shares(shares=3, threshold=2)
        office.do(operators.SealBreakGlass(digest, 2, 3))
        return shares

    def test_gives_the_role_for_half_an_hour_pages_and_is_reported(self, office, people):
        """Two of three shares open it, once; a review of it is open at once."""
        anna, _ = people
        shares = self.sealed(office)
        digest = operators.digest_of_shares(shares[1:])

        outcome = office.do(operators.OpenBreakGlass(anna.number, digest, "FIRE-1"))

        assert outcome.told(events.BreakGlassOpened).severity == "page"
        assert outcome.told(events.ReviewOpened).cause == "break_glass"
        assert "break_glass" in office.roles(anna)
        again = office.do(operators.OpenBreakGlass(anna.number, digest, "FIRE-1"))
        assert again.code == "break_glass_unsealed"
        office.now += 30 * MINUTE
        assert "break_glass" not in office.roles(anna)
        assert [type(e) for e in office.tick()] == [events.ElevationLapsed]
        office.now += 3 * DAY
        assert [e.severity for e in office.tick()] == ["page"]

    @pytest.mark.parametrize("given", ["one share", "of another seal", "words"])
    def test_counts_and_tells_wrong_shares(self, office, people, given):
        """Too few, of another secret, or no shares: refused, counted, somebody is woken."""
        anna, _ = people
        other = self.sealed(office)
        shares = self.sealed(office)
        wrong = {"one share": shares[:1], "of another seal": other, "words": ("a b c",)}[given]
        command = operators.OpenBreakGlass(anna.number, operators.digest_of_shares(wrong), "FIRE-1")

        told = [office.do(command).told(events.BreakGlassRefused) for _ in range(2)]

        assert [t.failures for t in told] == [1, 2]
        assert {(t.code, t.severity) for t in told} == {("break_glass_wrong", "page")}
        assert "break_glass" not in office.roles(anna)

    @pytest.mark.parametrize(("shares", "threshold"), [(1, 1), (3, 1), (2, 3), (17, 2)])
    def test_is_not_sealed_so_that_one_opens_it(self, shares, threshold):
        """One person alone, or nobody, opens no glass."""
        with pytest.raises(BreakGlassUnfit):
            operators.make_shares(shares=shares, threshold=threshold)


class TestPolicies:
    def test_that_fail_permit_nothing(self):
        """A policy that cannot be evaluated refuses, even where another would permit."""
        text = (
            "permit (principal, action, resource);"
            "permit (principal, action, resource) when { context.nothing > 1 };"
        )
        permissions = Permissions(text)

        assert not permissions.ask(frozenset({"viewer"}), READ, Circumstances())

    def test_that_depend_on_the_amount_ask_cedar_each_time(self):
        """Little money is moved by a payments operator, much of it elevated only."""
        permissions = Permissions()
        pay = Act("pay", "payments:write", "payments")
        permissions.compile(operators.every_role(), [pay])

        def may(amount, *, is_elevated=False):
            circumstances = Circumstances(amount_minor=amount, is_elevated=is_elevated)
            return permissions.allows({"payments_operator"}, "pay", circumstances)

        assert permissions.rule("payments_operator", "pay") is Rule.SOMETIMES
        assert (may(10_000_000), may(10_000_001)) == (True, False)
        assert may(10_000_001, is_elevated=True)
