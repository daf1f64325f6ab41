"""The operators as the one writer and the edge see them: who they are, what they may now."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from webauthn.helpers import encode_cbor

from scudo.fabric import Entry, Register, web
from scudo.governance import approvals
from scudo.identity.operators.errors import OperatorNotFound
from scudo.identity.operators.model import (
    HOUR_US,
    IDLE_US,
    PASSKEYS_NEEDED,
    Elevation,
    Key,
    Operator,
    Role,
    Session,
)
from scudo.identity.operators.permissions import Act, Circumstances, Permissions, Rule
from scudo.identity.passkeys import (
    Assertion,
    AssertionInvalid,
    Passkey,
    RelyingParty,
    verify_answer,
)

#: Group of acts on an operator's own passkeys and sessions.
SELF_SCOPE: Final = "operators:self"
TOKEN_PREFIX: Final = "scudo_op_"  # noqa: S105 - what tokens begin with
#: A key that nobody's passkey has (the base point of P-256, SEC 2 section 2.4.2): what answers
#: of unknown passkeys are verified with, so that they take as long as those of known ones.
_NOBODYS_KEY: Final = encode_cbor(
    {
        1: 2,
        3: -7,
        -1: 1,
        -2: bytes.fromhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
        -3: bytes.fromhex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
    }
)

_USUAL: Final = Circumstances()
_TWO: Final = 2


class Staff:
    """All operators, in memory; it also answers what approvals ask about people.

    Attributes:
        party: whom their passkeys were made for.
        permissions: what their roles may.
    """

    def __init__(self, *, permissions: Permissions, party: RelyingParty) -> None:
        """Start with nobody."""
        self.permissions = permissions
        self.party = party
        self.register: Register[Operator] = Register(
            121, Operator, resident=True, changed=self._index
        )
        self.by_handle: dict[str, int] = {}
        self.by_invitation: dict[bytes, int] = {}
        self.by_credential: dict[bytes, int] = {}
        self._by_token: dict[bytes, tuple[int, Session]] = {}
        #: When each session was last used; one that memory does not know since it began.
        self._seen: dict[int, int] = {}

    def _index(self, number: int, before: Operator | None, now: Operator | None) -> None:
        if before is not None:
            self.by_handle.pop(before.handle, None)
            if before.invitation is not None:
                self.by_invitation.pop(before.invitation.token_hash, None)
            for key in before.keys:
                self.by_credential.pop(key.passkey.id, None)
            for session in before.sessions:
                self._by_token.pop(session.token_hash, None)
        if now is not None:
            self.by_handle[now.handle] = number
            if now.invitation is not None:
                self.by_invitation[now.invitation.token_hash] = number
            for key in now.keys:
                self.by_credential[key.passkey.id] = number
            for session in now.sessions:
                self._by_token[session.token_hash] = (number, session)

    # ---- finding and changing

    def find(self, number: int) -> Operator:
        """Find an operator.

        Raises:
            OperatorNotFound: if there is none.
        """
        operator = self.register.get(number)
        if operator is None:
            message = "there is no such operator"
            raise OperatorNotFound(message, field="operator_id")
        return operator

    def everybody(self) -> frozenset[int]:
        """Numbers of all operators."""
        return frozenset(dict(self.register.items()))

    def change(self, entry: Entry, number: int, **members: object) -> Operator:
        """Write an operator with some members changed."""
        changed = msgspec.structs.replace(self.find(number), **members)
        self.register.put(entry, number, changed)
        return changed

    # ---- sessions

    def authenticate(self, token: str, now: int) -> web.Principal | None:
        """Whose session a token is of; the same work for known and unknown ones.

        Raises:
            SessionOver: if it is too old, or was not used for too long.
        """
        found = self._by_token.get(hashlib.sha256(token.encode()).digest())
        if found is None:
            return None
        number, session = found
        seen = self._seen.get(session.number, session.began_at)
        if now >= session.expires_at or now - seen >= IDLE_US:
            message = "this session is over"
            raise web.errors.SessionOver(message)
        self._seen[session.number] = now
        return web.Principal(
            number, frozenset(), kind=web.PrincipalKind.OPERATOR, session=session.number
        )

    def is_over(self, session: Session, now: int) -> bool:
        """Whether a session is too old, or was not used for too long."""
        seen = self._seen.get(session.number, session.began_at)
        return now >= session.expires_at or now - seen >= IDLE_US

    def verify_log_in(self, assertion: Assertion, challenge: bytes) -> tuple[int, Passkey]:
        """Find whose passkey has answered a challenge, with the same work for unknown ones.

        Returns:
            the operator's number, and the passkey as it is stored from now on.

        Raises:
            AssertionInvalid: for every reason in the same words.
        """
        number = self.by_credential.get(assertion.credential)
        known = None if number is None else self.find(number)
        passkey = Passkey(assertion.credential, _NOBODYS_KEY)
        if known is not None:
            passkey = next(k.passkey for k in known.keys if k.passkey.id == assertion.credential)
        message = "the passkey's answer does not hold"
        try:
            after = verify_answer(self.party, assertion, challenge=challenge, passkey=passkey)
        except AssertionInvalid as refusal:
            raise AssertionInvalid(message, field="credential") from refusal
        if number is None or known is None or known.is_suspended:
            raise AssertionInvalid(message, field="credential")
        if assertion.user not in {None, user_handle(number)}:
            raise AssertionInvalid(message, field="credential")
        return number, after

    def keys_with(self, number: int, passkey: Passkey) -> tuple[Key, ...]:
        """An operator's passkeys after one has answered."""
        return tuple(
            Key(passkey, key.enrolled_at) if key.passkey.id == passkey.id else key
            for key in self.find(number).keys
        )

    # ---- what approvals ask

    def demand(self, person: int, act: str, *, now: int) -> None:
        """Refuse unless an operator may do an act now.

        Raises:
            OperatorNotFound: if there is none, or it is suspended.
            PermissionMissing: if no role allows it.
            ElevationLapsed: if one would have allowed it, for which the time is over.
            SecondPasskeyMissing: if the operator has one passkey only.
        """
        operator = self.find(person)
        if operator.is_suspended:
            message = "this operator is suspended"
            raise OperatorNotFound(message)
        circumstances = circumstances_of(operator, now)
        if self.permissions.allows(operator.roles(now), act, circumstances):
            return
        raise self.refusal(operator, act, now)

    def could_decide(self, kind: str) -> bool:
        """Whether two operators hold roles by which one proposes a kind and the other approves it.

        Whoever is suspended counts too: they are enrolled, and a suspension takes no role.
        """
        able = {
            number: operator.held()
            for number, operator in self.register.items()
            if len(operator.keys) >= PASSKEYS_NEEDED and operator.grants
        }
        if len(able) < _TWO:
            return False
        proposers, approvers = (
            {n for n, held in able.items() if self.permissions.allows(held, act, _USUAL)}
            for act in (f"propose_{kind}", f"approve_{kind}")
        )
        return bool(proposers and approvers) and len(proposers | approvers) >= _TWO

    def refusal(self, operator: Operator, act: str, now: int) -> web.WebRefusal:
        """Why an operator may not do an act."""
        if len(operator.keys) < PASSKEYS_NEEDED:
            message = "an operator with one passkey may only enrol the second"
            return web.errors.SecondPasskeyMissing(message)
        rules = {self.permissions.rule(role, act) for role in operator.lapsed(now)}
        held = {self.permissions.rule(role, act) for role in operator.roles(now)}
        could = Rule.SOMETIMES in held and not operator.is_elevated(now) and operator.elevations
        if rules - {Rule.NEVER} or could:
            message = f"the elevation that allowed {act} is over"
            return web.errors.ElevationLapsed(message)
        message = f"no role of this operator allows {act} in these circumstances"
        return web.errors.PermissionMissing(message)

    def standing(self, person: int, credential: bytes) -> approvals.Standing:
        """Say what an operator's access by a passkey rests on.

        Of a founder the enrolment does not count, nor do passkeys that were enrolled within
        72 hours of it: before the founders there is nobody who could approve anything.
        """
        operator = self.find(person)
        changes = [("elevated", elevation.since) for elevation in operator.elevations]
        if operator.recovered_at:
            changes.append(("recovered", operator.recovered_at))
        is_founding = operator.is_founder and not operator.recovered_at
        if not is_founding:
            changes.append(("enrolled", operator.enrolled_at))
        for key in operator.keys:
            since = key.enrolled_at - operator.enrolled_at
            if key.passkey.id == credential and not (is_founding and since < approvals.RIPENING_US):
                changes.append(("given this passkey", key.enrolled_at))
        owed = {operator.invited_by, operator.recovered_by}
        owed.update(*(_recent(operator.elevations)))
        return approvals.Standing(tuple(changes), frozenset(owed - {0}))

    def verify(
        self, entry: Entry, person: int, *, challenge: bytes, signature: approvals.Signature
    ) -> None:
        """Refuse unless an operator's passkey has signed a challenge; its counter moves on.

        Raises:
            AssertionInvalid: if it has not.
        """
        operator = self.find(person)
        passkey = next(
            (k.passkey for k in operator.keys if k.passkey.id == signature.credential), None
        )
        if passkey is None:
            message = "this passkey is not one of the approver's"
            raise AssertionInvalid(message, field="credential")
        after = verify_answer(
            self.party, assertion_of(signature), challenge=challenge, passkey=passkey
        )
        self.change(entry, person, keys=self.keys_with(person, after))


def _recent(elevations: Iterable[Elevation]) -> Iterable[tuple[int, ...]]:
    return [elevation.owed_to for elevation in elevations] or [()]


def assertion_of(signature: approvals.Signature) -> Assertion:
    """A signature as the passkeys know it."""
    return Assertion(
        signature.credential,
        signature.authenticator_data,
        signature.client_data,
        signature.signature,
    )


def user_handle(number: int) -> bytes:
    """What passkeys remember of an operator."""
    return b"opr" + number.to_bytes(8, "big")


def circumstances_of(
    operator: Operator, now: int, *, amount_minor: int = 0, is_own: bool = False
) -> Circumstances:
    """In what circumstances an operator does something now."""
    return Circumstances(
        passkeys=len(operator.keys),
        is_elevated=operator.is_elevated(now),
        amount_minor=amount_minor,
        hour=now // HOUR_US % 24,
        is_own=is_own,
    )


def acts_of_kinds(names: Iterable[str]) -> Iterable[Act]:
    """The acts that kinds of approvals bring: to propose each, and to approve it."""
    for name in names:
        yield Act(f"propose_{name}", "approvals:propose", "governance")
        yield Act(f"approve_{name}", "approvals:approve", "governance")


def every_role() -> tuple[Role, ...]:
    """All roles, in the order of the matrix."""
    return tuple(Role)


#: Says what time it is, microseconds.
Now = Callable[[], int]
