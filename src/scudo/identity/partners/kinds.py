"""What widens a partner's reach: limits, credentials, an end of a suspension; two people decide."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from scudo.fabric import Command, Entry
from scudo.governance import approvals
from scudo.identity.partners import errors
from scudo.identity.partners.commands import (
    AddPartnerCertificate,
    AddPartnerKey,
    ChangePartnerLimits,
    Partners,
    SuspendPartner,
)
from scudo.identity.partners.keys import demand_name, demand_thumbprint, read_public
from scudo.identity.partners.logic import canonical_limits, widens
from scudo.identity.partners.model import CREDENTIALS_MAX, Partner
from scudo.identity.partners.wire import (
    Days,
    NameText,
    Networks,
    OverlapSeconds,
    PartnerIdText,
    PublicKey,
    Scopes,
    TierName,
)
from scudo.kernel import DAY_US, SECOND_US, Prefix, ids


class PartnerLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a partner may from now on; no networks means from everywhere."""

    partner_id: PartnerIdText
    scopes: Scopes
    tier: TierName
    networks: Networks
    must_sign: bool


class PartnerResumption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A suspended partner that is let in again."""

    partner_id: PartnerIdText


class PartnerKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that a partner gets, good for so many days from now or from later on."""

    partner_id: PartnerIdText
    key: PublicKey
    valid_days: Days = 365
    starts_in_s: OverlapSeconds = 0


class PartnerCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate that a partner gets: its thumbprint, or its subject and issuer."""

    partner_id: PartnerIdText
    thumbprint: str = ""
    subject: NameText = ""
    issuer: NameText = ""


_Change = PartnerLimits | PartnerResumption | PartnerKey | PartnerCertificate


def certificate_command(
    number: int, *, thumbprint: str, subject: str, issuer: str
) -> AddPartnerCertificate:
    """Read which certificate is meant.

    Raises:
        CertificateUnfit: it is told in no way, or in two.
    """
    if bool(thumbprint) == bool(subject or issuer):
        message = "a certificate is told by its thumbprint, or by subject and issuer"
        raise errors.CertificateUnfit(message)
    if thumbprint:
        demand_thumbprint(thumbprint)
        return AddPartnerCertificate(number, thumbprint, "", "")
    name = demand_name(subject, field="subject")
    return AddPartnerCertificate(number, "", name, demand_name(issuer, field="issuer"))


def key_command(
    number: int, key: PublicKey, *, valid_days: int, starts_in_s: int, now: int
) -> AddPartnerKey:
    """Read a key to add; `now` in microseconds.

    Raises:
        KeyUnfit: it is no public key of Ed25519 or P-256.
    """
    algorithm, public = read_public(kty=key.kty, crv=key.crv, x=key.x, y=key.y)
    start = now + starts_in_s * SECOND_US if starts_in_s else 0
    return AddPartnerKey(number, key.kid, algorithm, public, start, valid_days * DAY_US)


_REFUSALS: Final = (
    errors.PartnerNotFound,
    errors.PartnerScopeUnknown,
    errors.NetworkUnfit,
    errors.KeyUnfit,
    errors.KeyNameTaken,
    errors.CertificateUnfit,
    errors.CredentialsTooMany,
    ids.IdMalformed,
)


class PartnerChanges:
    """The kinds of change of partners, on the partners' records."""

    def __init__(self, partners: Partners) -> None:
        """Change these partners."""
        self._partners = partners

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """The kinds of change that need a second person."""
        return (
            self._kind("set_partner_limits", PartnerLimits, self._describe_limits),
            self._kind("resume_partner", PartnerResumption, self._describe_resumption),
            self._kind("add_partner_key", PartnerKey, self._describe_key),
            self._kind("add_partner_certificate", PartnerCertificate, self._describe_certificate),
        )

    def widens(self, command: ChangePartnerLimits | SuspendPartner, entry: Entry) -> bool:
        """Whether a command gives a partner more than it has; an unknown partner has nothing."""
        del entry
        if isinstance(command, SuspendPartner):
            return not command.is_suspended
        partner = self._partners.register.get(command.partner)
        return partner is not None and widens(partner, command.limits)

    def _kind(
        self, name: str, change: type[Any], describe: Callable[[Any], approvals.Description]
    ) -> approvals.ApprovalKind[Any]:
        return approvals.ApprovalKind(
            name=name,
            change=change,
            describe=describe,
            demand=self._demand,
            execute=self._execute,
            refusals=_REFUSALS,
            has_owners_way=True,
        )

    def _find(self, change: _Change) -> tuple[int, Partner]:
        number = ids.parse(Prefix.PARTNER, change.partner_id, field="change.partner_id")
        return number, self._partners.partner(number)

    def _command(self, change: _Change, now: int) -> Command:
        number, _ = self._find(change)
        match change:
            case PartnerLimits():
                return ChangePartnerLimits(number, canonical_limits(change))
            case PartnerResumption():
                return SuspendPartner(number, is_suspended=False)
            case PartnerKey():
                days, later = change.valid_days, change.starts_in_s
                return key_command(number, change.key, valid_days=days, starts_in_s=later, now=now)
            case PartnerCertificate():
                return certificate_command(
                    number,
                    thumbprint=change.thumbprint,
                    subject=change.subject,
                    issuer=change.issuer,
                )

    def _demand(self, change: _Change, now: int) -> None:
        """Refuse what changes nothing, and what the record would not take.

        Raises:
            ChangeInvalid: the partner has all of it.
            KeyNameTaken: it has a key of this kid.
            CredentialsTooMany: it has as many as are kept, and all are good.
        """
        self._command(change, now)
        _, partner = self._find(change)
        match change:
            case PartnerKey():
                if partner.key(change.key.kid) is not None:
                    message = "the partner has a key of this kid"
                    raise errors.KeyNameTaken(message, field="change.key.kid")
                good = [key for key in partner.keys if key.valid_until > now]
                is_full = len(good) >= CREDENTIALS_MAX
            case PartnerCertificate():
                is_full = len(partner.certificates) >= CREDENTIALS_MAX
            case _:
                is_full = False
                if not self._described(change).diff:
                    message = "the partner has all of this"
                    raise approvals.errors.ChangeInvalid(message, field="change")
        if is_full:
            message = f"the partner has {CREDENTIALS_MAX} of them that are good"
            raise errors.CredentialsTooMany(message, field="change")

    def _execute(self, change: _Change, entry: Entry, decided: approvals.Decided) -> None:
        command = self._command(change, decided.now)
        self._partners.handlers[type(command)](command, entry)

    # ---- what both people see

    def _described(self, change: _Change) -> approvals.Description:
        if isinstance(change, PartnerLimits):
            return self._describe_limits(change)
        assert isinstance(change, PartnerResumption), "the others are never without effect"
        return self._describe_resumption(change)

    def _describe_limits(self, change: PartnerLimits) -> approvals.Description:
        _, partner = self._find(change)
        limits = canonical_limits(change)
        diff = _changed(
            scopes=(list(partner.scopes), list(limits.scopes)),
            tier=(partner.tier, limits.tier),
            networks=(list(partner.networks), list(limits.networks)),
            must_sign=(partner.signs, limits.signs),
        )
        verb = "may more than before" if widens(partner, limits) else "may less than before"
        return approvals.Description(diff, f"the partner {partner.name} {verb}")

    def _describe_resumption(self, change: PartnerResumption) -> approvals.Description:
        _, partner = self._find(change)
        diff = _changed(is_suspended=(partner.is_suspended, False))
        effect = f"the partner {partner.name} is let in again, for {', '.join(partner.scopes)}"
        return approvals.Description(diff, effect)

    def _describe_key(self, change: PartnerKey) -> approvals.Description:
        _, partner = self._find(change)
        told = {
            "public": msgspec.to_builtins(change.key),
            "valid_days": change.valid_days,
            "starts_in_s": change.starts_in_s,
        }
        effect = f"whoever holds this key is {partner.name}, for {', '.join(partner.scopes)}"
        return approvals.Description({f"keys.{change.key.kid}": (None, told)}, effect)

    def _describe_certificate(self, change: PartnerCertificate) -> approvals.Description:
        _, partner = self._find(change)
        told = {name: getattr(change, name) for name in ("thumbprint", "subject", "issuer")}
        effect = f"who connects with this is {partner.name}, for {', '.join(partner.scopes)}"
        return approvals.Description({"certificates": (None, told)}, effect)


def _changed(**members: tuple[Any, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: pair for name, pair in members.items() if pair[0] != pair[1]}
