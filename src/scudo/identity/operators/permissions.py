"""Who may do what: Cedar policies, and the matrix that is compiled from them.

The policies are text that people review; `limits.cedar` says what no role may go beyond. Cedar
is asked about every act of every role once, in every circumstance that a policy can tell apart.
Where all answers are the same the matrix knows the answer; where they differ, Cedar is asked
each time.

Source:
    Cedar language reference: an act is allowed if a permit matches and no forbid does.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import product
from typing import Any, Final

import msgspec
from cedarpy import PolicySet, is_authorized_batch

from scudo.kernel import ids

#: Amount of what moves money and does not say how much.
UNKNOWN_AMOUNT: Final = ids.ID_MAX
_NOON, _NIGHT = 12, 2
_encode: Final = msgspec.json.Encoder().encode


class Rule(IntEnum):
    """What the policies say of a role and an act."""

    NEVER = 0
    SOMETIMES = 1
    ALWAYS = 2


class Act(msgspec.Struct, frozen=True):
    """What somebody wants to do.

    Attributes:
        name: of the HTTP operation, or `propose_…` and `approve_…` of a kind of approval.
        group: the operation's scope.
        kind: of the object; the room.
    """

    name: str
    group: str
    kind: str


class Circumstances(msgspec.Struct, frozen=True):
    """In what circumstances.

    Attributes:
        passkeys: how many the operator has.
        hour: of the day, UTC.
        is_own: whether the object is the operator's own record.
    """

    passkeys: int = 2
    is_elevated: bool = False
    amount_minor: int = UNKNOWN_AMOUNT
    hour: int = _NOON
    is_own: bool = False


#: Every circumstance that a policy can tell apart, of somebody with two passkeys.
CORNERS: Final = tuple(
    Circumstances(2, elevated, amount, hour, own)
    for elevated, amount, hour, own in product(
        (False, True), (0, UNKNOWN_AMOUNT), (_NIGHT, _NOON), (False, True)
    )
)


class Permissions:
    """The policies, parsed once, and the matrix of the acts that are known."""

    def __init__(self, policies: str | None = None) -> None:
        """Read policies; the shipped ones by default."""
        text = shipped_policies() if policies is None else policies
        self._text = text
        self._policies = PolicySet.from_str(text)
        self._rules: dict[tuple[str, str], Rule] = {}
        self._acts: dict[str, Act] = {}
        self._later: list[tuple[tuple[str, ...], tuple[Act, ...]]] = []

    @property
    def acts(self) -> Sequence[Act]:
        """Every act that was compiled."""
        self._catch_up()
        return tuple(self._acts.values())

    def compile_later(self, roles: Iterable[str], acts: Iterable[Act]) -> None:
        """Compile when somebody asks first: a command that asks of no operator need not wait."""
        self._later.append((tuple(roles), tuple(acts)))

    def compile(self, roles: Iterable[str], acts: Iterable[Act]) -> None:
        """Ask Cedar about every role and act in every circumstance.

        Acts of one group that no policy names are asked about once: nothing tells them apart.
        """
        roles = tuple(roles)
        for act in acts:
            if act.name not in self._acts:
                self._acts[act.name] = act
                is_named = f'Action::"{act.name}"' in self._text
                alike = act if is_named else msgspec.structs.replace(act, name="any")
                rules = _rules(self._text, roles, alike)
                self._rules.update(
                    ((role, act.name), rule) for role, rule in zip(roles, rules, strict=True)
                )

    def rule(self, role: str, act: str) -> Rule:
        """What the matrix says; of what it does not know: never."""
        if self._later:
            self._catch_up()
        return self._rules.get((role, act), Rule.NEVER)

    def _catch_up(self) -> None:
        while self._later:
            self.compile(*self._later.pop())

    def allows(self, roles: Iterable[str], act: str, circumstances: Circumstances) -> bool:
        """Whether somebody with these roles may do an act now."""
        if self._later:
            self._catch_up()
        held = frozenset(roles)
        if held and circumstances.passkeys >= 2:
            rules = {self.rule(role, act) for role in held}
            if Rule.ALWAYS in rules:
                return True
            if Rule.SOMETIMES not in rules:
                return False
        known = self._acts.get(act)
        return known is not None and self.ask(held, known, circumstances)

    def ask(self, roles: frozenset[str], act: Act, circumstances: Circumstances) -> bool:
        """Ask Cedar itself."""
        return _ask(self._policies, [(roles, act, circumstances)])[0]


@lru_cache(maxsize=1_024)
def _rules(text: str, roles: tuple[str, ...], act: Act) -> tuple[Rule, ...]:
    """What policies say of an act, for each role: of the same text always the same."""
    asked = [(frozenset({role}), act, corner) for role in roles for corner in CORNERS]
    answers = _ask(PolicySet.from_str(text), asked)
    rules = []
    for number in range(len(roles)):
        found = set(answers[number * len(CORNERS) : (number + 1) * len(CORNERS)])
        rules.append(
            Rule.SOMETIMES if len(found) > 1 else Rule.ALWAYS if True in found else Rule.NEVER
        )
    return tuple(rules)


def _ask(
    policies: PolicySet, asked: Sequence[tuple[frozenset[str], Act, Circumstances]]
) -> list[bool]:
    entities: dict[str, dict[str, Any]] = {}
    requests = []
    for roles, act, circumstances in asked:
        principal = "+".join(sorted(roles))
        whose = f"{act.kind}/{principal if circumstances.is_own else ''}"
        requests.append(
            {
                "principal": {"type": "Operator", "id": principal},
                "action": {"type": "Action", "id": act.name},
                "resource": {"type": "Object", "id": whose},
                "context": {
                    "passkeys": circumstances.passkeys,
                    "elevated": circumstances.is_elevated,
                    "amount_minor": circumstances.amount_minor,
                    "hour": circumstances.hour,
                },
            }
        )
        owner = {"owner": {"__entity": {"type": "Operator", "id": principal}}}
        for kind, name, attributes, parents in (
            ("Operator", principal, {}, [("Role", role) for role in sorted(roles)]),
            ("Action", act.name, {}, [("Action", act.group)]),
            (
                "Object",
                whose,
                {"kind": act.kind, **(owner if circumstances.is_own else {})},
                [],
            ),
        ):
            entities[f"{kind} {name}"] = {
                "uid": {"type": kind, "id": name},
                "attrs": attributes,
                "parents": [{"type": type_, "id": parent} for type_, parent in parents],
            }
    text = _encode(list(entities.values())).decode()
    results = is_authorized_batch(requests, policies, text)
    # What could not be evaluated is an error of a policy; Cedar skips it, we refuse.
    return [result.allowed and not result.diagnostics.errors for result in results]


def shipped_policies() -> str:
    """The policies as they are shipped, all files in order of their names."""
    found = sorted(_folder().iterdir(), key=lambda item: item.name)
    return "\n".join(item.read_text() for item in found if item.name.endswith(".cedar"))


def shipped_limits() -> str:
    """The policies that no role goes beyond."""
    return (_folder() / "limits.cedar").read_text()


def _folder() -> Traversable:
    return files("scudo.identity") / "operators" / "policies"
