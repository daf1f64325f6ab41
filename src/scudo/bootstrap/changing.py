"""What two people decide on, of all rooms, and what a client does alone until there are two."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from scudo.fabric import Answer, Command, Entry
from scudo.governance import (
    ApproveMandate,
    Gates,
    Mandates,
    Roots,
    approvals,
    callbacks,
)
from scudo.identity import client_kinds, operators, partners, passkeys
from scudo.ledger import MandateChanges
from scudo.payments import (
    OVERRIDE,
    REFUND,
    Overrides,
    Refunding,
    RefundPayment,
    ReleasePayment,
)
from scudo.vault import NoteKeys

Handler = Callable[[Any, Entry], Answer]
#: Commands that look at what an approval is about.
APPROVING = (approvals.Propose, approvals.Approve)


class Kept(Protocol):
    """Keeps what only approvals change."""

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """By which kinds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What is changed by two people: one kind of approval or more each."""

    mandates: Mandates
    partners: partners.Partners
    overrides: Overrides
    refunding: Refunding
    roots: Roots
    others: tuple[Kept, ...]

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """Every kind of change but those of the operators themselves."""
        return (
            *(kind for kept in self.others for kind in kept.kinds),
            *partners.PartnerChanges(self.partners).kinds,
            *client_kinds(),
            *callbacks.callback_kinds(),
            *MandateChanges(self.mandates).kinds,
            *self.overrides.kinds,
            *self.refunding.kinds,
            *self.roots.kinds,
        )

    def authority(self, *, party: passkeys.RelyingParty, gates: Gates) -> operators.Authority:
        """The operators who decide on all of it."""
        return operators.make_authority(party=party, gates=gates, kinds=self.kinds)

    def guard(self, authority: operators.Authority, handlers: dict[type[Command], Handler]) -> None:
        """Let clients do alone what they do only while nobody could be the second person."""
        widens = partners.PartnerChanges(self.partners).widens
        for command, kind, more in (
            (ApproveMandate, "approve_mandate", {}),
            (partners.ChangePartnerLimits, "set_partner_limits", {"applies": widens}),
            (partners.SuspendPartner, "resume_partner", {"applies": widens}),
            (partners.AddPartnerKey, "add_partner_key", {}),
            (partners.AddPartnerCertificate, "add_partner_certificate", {}),
            (ReleasePayment, OVERRIDE, {"applies": self.overrides.needs_two}),
            (RefundPayment, REFUND, {"applies": self.refunding.needs_two}),
            (callbacks.AddCallbackKey, callbacks.ADD_KEY, {"covered": callbacks.approved_key}),
        ):
            handlers[command] = authority.ways.guard(kind, handlers[command], **more)

    def notice(
        self, authority: operators.Authority, handlers: dict[type[Command], Handler]
    ) -> None:
        """See what was done outside: nobody is held up, as the vault has asked before."""
        handlers[NoteKeys] = self.roots.noticing(
            handlers[NoteKeys], authority.approvals, authority.uses, authority.ways
        )
