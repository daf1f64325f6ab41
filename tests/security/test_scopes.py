"""Every operation by everybody who may not: without token, without its scope, as a stranger."""

import pytest
from tests.security.described import GUARDED, MISSING, OF_SESSIONS, OPERATIONS, WITHIN_REACH

from scudo.identity import SCOPES

#: What strangers may ask. Whoever adds an operation without scope writes it down here.
OPEN = {
    "get_liveness",
    "get_readiness",
    "get_metrics",
    "get_openapi",
    "get_asyncapi",
    # Signed by who sends it.
    "take_partner_ping",
    # A partner's token, by an assertion or a certificate.
    "issue_token",
    # Where customers come in: by mailed codes, and proofs of their own.
    "sign_up",
    "activate",
    "begin_recovery",
    "recover",
    "begin_log_in",
    "begin_log_in_by_mail",
    "log_in_by_passkey",
    "log_in_by_password",
    "refresh_tokens",
    # The page on which browsers do so.
    "show_passkeys",
    "get_page_script",
    "get_page_style",
    # Where operators come in: by an invitation, or by a passkey.
    "begin_operator_enrolment",
    "enrol_operator",
    "begin_operator_session",
    "log_operator_in",
}
#: A body that no operation takes: what it is answered shows whether anybody looked at it.
GARBAGE = {"content": b'{"Mallory', "headers": {"content-type": "application/json"}}


@pytest.fixture(scope="module")
def stranger(attacker_for):
    """Somebody without a token."""
    return attacker_for(None)


@pytest.fixture(scope="module")
def lacking(served, attacker_for):
    """Make somebody who has every scope but one; one for all operations of that scope."""
    made = {}

    def without(scope):
        if scope not in made:
            made[scope] = attacker_for(served.token_for(*(SCOPES - {scope, "clock:drive"})))
        return made[scope]

    return without


class TestOpenOperations:
    def test_are_those_that_were_meant_to_be(self):
        """No operation can be asked without a token that is not on the list of those."""
        assert {operation.name for operation in OPERATIONS if operation.scope is None} == OPEN


class TestEveryOperation:
    @pytest.mark.fault(46)
    @pytest.mark.parametrize("operation", GUARDED, ids=str)
    def test_refuses_strangers(self, stranger, operation):
        """Without a token: 401 with a challenge, whatever else is sent."""
        answers = [stranger.ask(operation, MISSING), stranger.ask(operation, MISSING, **GARBAGE)]

        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")
            assert answer.headers["www-authenticate"].startswith("Bearer")

    @pytest.mark.fault(46)
    @pytest.mark.parametrize("operation", GUARDED, ids=str)
    def test_refuses_those_who_lack_its_scope(self, lacking, operation, unchanged):
        """With every scope but its own: 403 that names it, before anything is read or done."""
        attacker = lacking(operation.scope)

        answers = [attacker.ask(operation, MISSING), attacker.ask(operation, MISSING, **GARBAGE)]

        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
            assert f'scope="{operation.scope}"' in answer.headers["www-authenticate"]
        assert unchanged()

    @pytest.mark.fault(46)
    @pytest.mark.parametrize("operation", [o for o in GUARDED if o not in OF_SESSIONS], ids=str)
    def test_is_open_to_those_who_have_it(self, served, attacker_for, entitled, operation):
        """With its scope alone the same request is refused for other reasons, if at all."""
        attacker = entitled(operation)
        if operation.scope in SCOPES:
            attacker = attacker_for(served.token_for(operation.scope))

        answer = attacker.ask(operation, MISSING)

        assert answer.status_code != 401 or not answer.json()["code"].startswith("token_")
        assert f'scope="{operation.scope}"' not in answer.headers.get("www-authenticate", "")

    @pytest.mark.parametrize("operation", GUARDED, ids=str)
    def test_has_no_other_way_in(self, stranger, operation):
        """Other methods of its path are refused, or guarded as well."""
        for method in ("HEAD", "GET", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "X"):
            answer = stranger.ask(operation, MISSING, method=method)

            assert answer.status_code in {400, 401, 405}, method


class TestReading:
    @pytest.mark.parametrize("operation", [o for o in WITHIN_REACH if o.method == "GET"], ids=str)
    def test_changes_nothing(self, entitled, unchanged, operation):
        """What is asked by GET or HEAD leaves nothing in the log but that it was asked."""
        attacker = entitled(operation)

        for method in ("GET", "HEAD"):
            attacker.ask(operation, MISSING, method=method)

        assert unchanged()
