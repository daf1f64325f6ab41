"""What two people decide on, of all rooms, and what a client does alone until there are two."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scudo.fabric import Answer, Command, Entry
from scudo.governance import (
    ApproveMandate,
    Gates,
    Mandates,
    approvals,
    callbacks,
    edge_limits,
    flags,
)
from scudo.identity import client_kinds, operators, partners, passkeys
from scudo.ledger import MandateChanges

Handler = Callable[[Any, Entry], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What is changed by two people: one kind of approval or more each."""

    flags: flags.Flags
    edge_limits: edge_limits.EdgeLimits
    mandates: Mandates
    partners: partners.Partners

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """Every kind of change but those of the operators themselves."""
        return (
            *self.flags.kinds,
            *self.edge_limits.kinds,
            *partners.PartnerChanges(self.partners).kinds,
            *client_kinds(),
            *callbacks.callback_kinds(),
            *MandateChanges(self.mandates).kinds,
        )

    def authority(self, *, party: passkeys.RelyingParty, gates: Gates) -> operators.Authority:
        """The operators who decide on all of it."""
        return operators.make_authority(party=party, gates=gates, kinds=self.kinds)

    def guard(self, ways: approvals.OwnersWays, handlers: dict[type[Command], Handler]) -> None:
        """Let clients do alone what they do only while nobody could be the second person."""
        widens = partners.PartnerChanges(self.partners).widens
        for command, kind, more in (
            (ApproveMandate, "approve_mandate", {}),
            (partners.ChangePartnerLimits, "set_partner_limits", {"applies": widens}),
            (partners.SuspendPartner, "resume_partner", {"applies": widens}),
            (partners.AddPartnerKey, "add_partner_key", {}),
            (partners.AddPartnerCertificate, "add_partner_certificate", {}),
            (callbacks.AddCallbackKey, callbacks.ADD_KEY, {"covered": callbacks.approved_key}),
        ):
            handlers[command] = ways.guard(kind, handlers[command], **more)
