"""What the edge asks of operators: whose token this is, and whether they may do this now."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from scudo.fabric import Command, web
from scudo.identity.operators.commands import NoteUse, TellRefused
from scudo.identity.operators.errors import DutiesConflict
from scudo.identity.operators.model import USE_GRAIN_US, Operator, conflicting_use
from scudo.identity.operators.permissions import UNKNOWN_AMOUNT, Act, Rule
from scudo.identity.operators.staff import (
    SELF_SCOPE,
    TOKEN_PREFIX,
    Now,
    Staff,
    circumstances_of,
    every_role,
)
from scudo.kernel import SECOND_US, Prefix, Refusal, ids

#: The same refusal of the same operator is told to the log once in so long: what a program
#: repeats a thousand times a second is one fact.
_TOLD_US: Final = SECOND_US
_TOLD_MAX: Final = 10_000
#: Scopes of what moves money.
_MOVING: Final = frozenset({"payments:write", "payments:refund", "journals:write"})


class Edge:
    """The operators as the HTTP layer sees them."""

    def __init__(self, staff: Staff, *, now: Now, tell: Callable[[Command], None]) -> None:
        """Look at these operators.

        Args:
            staff: the operators.
            now: our clock, microseconds.
            tell: hands a command to the writer, and does not wait for it.
        """
        self._staff = staff
        self._now = now
        self._tell = tell
        self._told: dict[tuple[int, str, str], int] = {}
        self._noted: dict[tuple[int, str], int] = {}

    def know(self, operations: Iterable[web.Operation]) -> None:
        """Compile the matrix for all operations that need a scope."""
        acts = [Act(o.name, o.scope, o.tag) for o in operations if o.scope is not None]
        self._staff.permissions.compile(every_role(), acts)

    def authenticate(
        self,
        scheme: str,
        token: str,
        arrival: web.Arrival,  # noqa: ARG002 - a session is good wherever its operator works
    ) -> web.Principal | None:
        """Whose session a token is of; None for tokens that are not of operators."""
        if scheme != "bearer" or not token.startswith(TOKEN_PREFIX):
            return None
        return self._staff.authenticate(token, self._now())

    def authorise(
        self, principal: web.Principal, operation: web.Operation, call: web.Call | None
    ) -> None:
        """Refuse an operator who may not do this now.

        It is asked twice: before the rest of a request is read, when the matrix says what no
        circumstance would change; and with the call, when Cedar itself is asked if it has to be.

        Raises:
            PermissionMissing: if no role allows it.
            ElevationLapsed: if one would have allowed it, for which the time is over.
            SecondPasskeyMissing: if the operator has one passkey only.
            DutiesConflict: if the operator did a short while ago what must be another's.
        """
        now, operator = self._now(), self._staff.find(principal.id)
        refusal: Refusal | None = None
        scope = operation.scope or ""
        if call is None:
            rules = {self._staff.permissions.rule(r, operation.name) for r in operator.roles(now)}
            is_new = len(operator.keys) < 2 and scope != SELF_SCOPE
            is_self = scope == SELF_SCOPE
            if is_new or not (is_self or rules - {Rule.NEVER}):
                refusal = self._staff.refusal(operator, operation.name, now)
        else:
            refusal = self._judge(principal.id, operator, operation, call, now)
        if refusal is not None:
            self._tell_once(principal.id, operation.name, refusal.code, now)
            raise refusal
        if call is not None and scope != SELF_SCOPE:
            self._note(principal.id, operator, scope, now)

    def _judge(
        self, number: int, operator: Operator, operation: web.Operation, call: web.Call, now: int
    ) -> Refusal | None:
        staff, scope = self._staff, operation.scope or ""
        amount = amount_of(call.body) if scope in _MOVING else 0
        is_own = call.path.get("operator_id") == ids.show(Prefix.OPERATOR, number)
        circumstances = circumstances_of(operator, now, amount_minor=amount, is_own=is_own)
        if not staff.permissions.allows(operator.roles(now), operation.name, circumstances):
            return staff.refusal(operator, operation.name, now)
        used = {**operator.used, **self._recent(number)}
        other = conflicting_use(used, scope, now)
        if other is not None:
            message = f"who used {other} less than 72 hours ago does not use {scope}"
            return DutiesConflict(message)
        return None

    def _recent(self, number: int) -> dict[str, int]:
        return {scope: at for (who, scope), at in self._noted.items() if who == number}

    def _note(self, number: int, operator: Operator, scope: str, now: int) -> None:
        last = max(operator.used.get(scope, 0), self._noted.get((number, scope), 0))
        if now - last >= USE_GRAIN_US:
            # Before the act itself reaches the writer, so that it is never forgotten.
            self._noted[number, scope] = now
            self._tell(NoteUse(number, scope))

    def _tell_once(self, number: int, act: str, code: str, now: int) -> None:
        key = (number, act, code)
        if now - self._told.get(key, 0) >= _TOLD_US:
            if len(self._told) >= _TOLD_MAX:
                self._told.clear()
            self._told[key] = now
            self._tell(TellRefused(number, act, code))


def amount_of(body: object) -> int:
    """How much a request moves: the sum of its amounts, in minor units of whatever currency.

    Of what moves money and does not say how much, more than anybody may move unasked.
    """
    amounts = list(_amounts(body))
    return min(sum(amounts), UNKNOWN_AMOUNT) if amounts else UNKNOWN_AMOUNT


def _amounts(thing: object) -> Iterable[int]:
    if isinstance(thing, msgspec.Struct):
        for name in thing.__struct_fields__:
            value = getattr(thing, name)
            if name == "amount_minor" and isinstance(value, int):
                # On the wire 0 is all that there is.
                yield abs(value) or UNKNOWN_AMOUNT
            else:
                yield from _amounts(value)
    elif isinstance(thing, tuple | list):
        for item in thing:
            yield from _amounts(item)
