"""Partners: programs of other firms that act for their own, or for one customer.

They prove who they are by a key or a certificate, get tokens of five minutes, and are let in by
these; what they may, and by which keys, are records.
"""

from scudo.identity.partners import assertions, errors, events, keys, routes
from scudo.identity.partners.commands import (
    AddPartnerCertificate,
    AddPartnerKey,
    ChangePartnerLimits,
    Partners,
    RegisterPartner,
    RetirePartnerCertificate,
    RetirePartnerKey,
    SuspendPartner,
)
from scudo.identity.partners.granting import TokenDesk
from scudo.identity.partners.kinds import PartnerChanges
from scudo.identity.partners.logic import widens
from scudo.identity.partners.model import (
    PARTNER_SCOPES,
    SKEW_US,
    Algorithm,
    Environment,
    Limits,
    Partner,
    Tier,
)
from scudo.identity.partners.tokens import Doorkeeper, Note

__all__ = [
    "PARTNER_SCOPES",
    "SKEW_US",
    "AddPartnerCertificate",
    "AddPartnerKey",
    "Algorithm",
    "ChangePartnerLimits",
    "Doorkeeper",
    "Environment",
    "Limits",
    "Note",
    "Partner",
    "PartnerChanges",
    "Partners",
    "RegisterPartner",
    "RetirePartnerCertificate",
    "RetirePartnerKey",
    "SuspendPartner",
    "Tier",
    "TokenDesk",
    "assertions",
    "errors",
    "events",
    "keys",
    "routes",
    "widens",
]
