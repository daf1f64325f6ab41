"""Reads of personal data for somebody: in the log before they are shown, refused ones too."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Protocol, TypeVar

import msgspec

from scudo import vault
from scudo.fabric import Tokens, web
from scudo.governance import Act, Recorder
from scudo.kernel import Prefix, Refusal, ids

A = TypeVar("A")

#: A code or the number of a case; no sentence, because it stands in the log for ever.
Reason = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.:/-]{0,63}\Z")]
#: What people may look at personal data for; what only parts of the bank do is not among them.
PurposeName = Literal[
    "customer_care",
    "investigation",
    "screening",
    "payment_message",
    "notification",
    "statement",
    "privacy_request",
]
#: What may be said to any of these: by the vault, or to a reason that is no code.
VAULT_REFUSALS: Final[tuple[type[Refusal], ...]] = (
    vault.errors.VaultUnavailable,
    vault.errors.VaultSealed,
    vault.errors.VaultNotInitialised,
    vault.errors.VaultQuota,
    vault.errors.CiphertextBroken,
    vault.errors.VaultDefect,
    web.errors.ReferenceUnfit,
)


class AskVault(Protocol):
    """Asks the vault."""

    def __call__(self, request: vault.Request[A], /) -> Awaitable[A]:
        """Give the vault's answer.

        Raises:
            VaultRefusal: it refused, or does not answer.
        """


class WithFacts(Protocol):
    """An answer that leaves facts."""

    @property
    def facts(self) -> tuple[vault.Fact, ...]:
        """To be recorded before the rest is shown."""


_R = TypeVar("_R", bound=WithFacts)


@dataclass(frozen=True, slots=True)
class RecordedReads:
    """Asks the vault for what leaves facts.

    Attributes:
        ask: asks the vault.
        record: has acts in the log before it returns.
        tokens: makes the token of where a request came from.
    """

    ask: AskVault
    record: Recorder
    tokens: Tokens

    async def read(
        self, request: vault.Request[_R], call: web.Call, *, thing: str | None = None
    ) -> _R:
        """Ask for something that leaves facts, and have these in the log before it is shown.

        Args:
            request: what is read.
            call: on whose behalf.
            thing: id of what it is read with; None: of the person or card itself.

        Raises:
            VaultRefusal: the vault refused; that is in the log too.
        """
        try:
            answer = await self.ask(request)
        except vault.VaultRefusal as refusal:
            await self._record(refusal.facts, call, thing)
            raise
        await self._record(answer.facts, call, thing)
        return answer

    async def _record(self, facts: Sequence[object], call: web.Call, thing: str | None) -> None:
        seen = [fact for fact in facts if isinstance(fact, vault.Fact)]
        if not seen:
            return
        network = None
        if call.arrival.network:
            (network,) = await self.tokens.tokens([("ip", call.arrival.network)])
        await self.record([_act_of(fact, call, network, thing) for fact in seen])


def actor_of(call: web.Call) -> str:
    """Who asks, as the vault records it."""
    client = call.client
    return f"{client.kind.name.lower()}:{client.id:x}"


def why_of(call: web.Call, purpose: str, reason: str, *, correlation: int = 0) -> vault.Why:
    """What a call reads for; `correlation` is the number of what it belongs to.

    Raises:
        ReferenceUnfit: the reason looks like somebody's data, which no code is.
    """
    code = web.demand_reference(reason, field="reason")
    return vault.Why(purpose, actor_of(call), code, correlation)


def _act_of(fact: vault.Fact, call: web.Call, network: int | None, thing: str | None) -> Act:
    """A fact of the vault as the audit trail has it."""
    is_person = fact.subject_kind == "person"
    prefix = Prefix.CUSTOMER if is_person else Prefix.CARD_REFERENCE
    subject = ids.show(prefix, fact.subject) if fact.subject else prefix
    return Act(
        actor=call.client.id,
        actor_kind=call.client.kind,
        act=f"vault.{fact.operation}_{fact.field}",
        object=thing or subject,
        whose=fact.subject if is_person and fact.subject else None,
        result="done" if fact.result == "given" else fact.result,
        reason=f"{fact.purpose}:{fact.reason}",
        network=network,
        trace=call.trace_id,
    )
