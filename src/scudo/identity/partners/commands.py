"""What may be asked of partners' records, and the records as the one writer sees them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from scudo.fabric import Answer, Command, Entry, Reference, Register
from scudo.identity.partners.errors import (
    CertificateNotFound,
    CertificateUnfit,
    ClientUnauthenticated,
    CredentialsTooMany,
    KeyNameTaken,
    KeyNotFound,
    PartnerNameTaken,
    PartnerNotFound,
    PartnerSuspended,
)
from scudo.identity.partners.events import (
    PartnerCertificateAdded,
    PartnerCertificateRetired,
    PartnerKeyAdded,
    PartnerKeyRetired,
    PartnerLimitsChanged,
    PartnerRegistered,
    PartnerSuspensionChanged,
    PartnerTokenIssued,
)
from scudo.identity.partners.model import (
    CREDENTIALS_MAX,
    Algorithm,
    Certificate,
    Environment,
    Limits,
    Method,
    Partner,
    SigningKey,
)
from scudo.kernel import Prefix, ids

#: Number of the partners' register, for ever.
KIND: Final = 141
_encode: Final = msgspec.json.Encoder().encode


class RegisterPartner(Command, frozen=True, tag=150):
    """Register a partner; it has no credentials yet."""

    partner_name: str
    environment: Environment
    limits: Limits
    customer: int | None


class AddPartnerKey(Command, frozen=True, tag=151):
    """Give a partner one more key; `valid_from` 0 is now. Microseconds."""

    partner: int
    kid: str
    algorithm: Algorithm
    public: str
    valid_from: int
    life_us: int


class RetirePartnerKey(Command, frozen=True, tag=152):
    """End a partner's key after so many microseconds; 0 is now."""

    partner: int
    kid: str
    after_us: int


class AddPartnerCertificate(Command, frozen=True, tag=153):
    """Let a partner connect with a certificate: its thumbprint, or its names."""

    partner: int
    thumbprint: str
    subject: str
    issuer: str


class RetirePartnerCertificate(Command, frozen=True, tag=154):
    """Let a partner no longer connect with a certificate."""

    partner: int
    certificate: str


class ChangePartnerLimits(Command, frozen=True, tag=155):
    """Change what a partner may, all of it."""

    partner: int
    limits: Limits


class SuspendPartner(Command, frozen=True, tag=156):
    """Let a partner in no more, or again."""

    partner: int
    is_suspended: bool


class IssuePartnerToken(Command, frozen=True, tag=157):
    """Note that a partner, who has shown who it is, gets a token.

    Attributes:
        token_hash: SHA-256 of the token; it makes every issue another one.
        life_us: from the order's time on.
    """

    partner: int
    method: Method
    credential: str
    binding: str
    scopes: tuple[str, ...]
    token_hash: bytes
    life_us: int
    network: int | None


class PartnerBody(msgspec.Struct, frozen=True):
    """A partner that was made or changed."""

    id: str


class CertificateBody(msgspec.Struct, frozen=True):
    """A certificate that a partner may now connect with."""

    id: str


class IssuedBody(msgspec.Struct, frozen=True):
    """Number of a token that was noted, and when it ends; stays inside the bank."""

    token: int
    expires_at: int


class Partners:
    """All partners, in memory: there are few, and every request of theirs asks for one."""

    def __init__(self) -> None:
        """Begin with none."""
        self.register: Final[Register[Partner]] = Register(
            KIND, Partner, resident=True, changed=self._changed
        )
        self.registers = (self.register,)
        self.by_name: dict[str, int] = {}
        self.handlers: Mapping[type[Command], Callable[[Any, Entry], Answer]] = {
            RegisterPartner: self._register,
            AddPartnerKey: self._add_key,
            RetirePartnerKey: self._retire_key,
            AddPartnerCertificate: self._add_certificate,
            RetirePartnerCertificate: self._retire_certificate,
            ChangePartnerLimits: self._change_limits,
            SuspendPartner: self._suspend,
            IssuePartnerToken: self._issue_token,
        }

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Name no record: all partners are in memory."""
        del command
        return ()

    def _changed(self, number: int, before: Partner | None, after: Partner | None) -> None:
        if before is not None:
            self.by_name.pop(before.name, None)
        if after is not None:
            self.by_name[after.name] = number

    def partner(self, number: int) -> Partner:
        """Give a partner.

        Raises:
            PartnerNotFound: if there is none.
        """
        found = self.register.get(number)
        if found is None:
            message = "there is no such partner"
            raise PartnerNotFound(message, field="partner_id")
        return found

    def _register(self, command: RegisterPartner, entry: Entry) -> Answer:
        """Register a partner; its id is the position of the event.

        Raises:
            PartnerNameTaken: if another has the name.
        """
        if command.partner_name in self.by_name:
            message = "another partner has this name"
            raise PartnerNameTaken(message, field="name")
        limits = command.limits
        number = entry.emit(
            PartnerRegistered(
                entry.next_position,
                command.environment,
                limits.tier,
                limits.scopes,
                command.customer,
            )
        )
        partner = Partner(
            name=command.partner_name,
            environment=command.environment,
            tier=limits.tier,
            scopes=limits.scopes,
            registered_at=entry.ordered_at,
            networks=limits.networks,
            signs=limits.signs,
            customer=command.customer,
        )
        self.register.put(entry, number, partner)
        return Answer(201, _encode(PartnerBody(ids.show(Prefix.PARTNER, number))))

    def _put(self, entry: Entry, number: int, partner: Partner, **changes: object) -> Answer:
        self.register.put(entry, number, msgspec.structs.replace(partner, **changes))
        return Answer(200, _encode(PartnerBody(ids.show(Prefix.PARTNER, number))))

    def _add_key(self, command: AddPartnerKey, entry: Entry) -> Answer:
        """Add a key; those that ended long enough ago to be of no use are let go of.

        Raises:
            PartnerNotFound: if there is no such partner.
            KeyNameTaken: if the partner has a key of this kid.
            CredentialsTooMany: if it has as many as are kept.
        """
        partner = self.partner(command.partner)
        if partner.key(command.kid) is not None:
            message = "the partner has a key of this kid"
            raise KeyNameTaken(message, field="key.kid")
        if len(partner.keys) >= CREDENTIALS_MAX:
            gone = [key for key in partner.keys if key.valid_until <= entry.ordered_at]
            if not gone:
                message = f"the partner has {CREDENTIALS_MAX} keys that are good"
                raise CredentialsTooMany(message, field="key")
        else:
            gone = []
        valid_from = max(command.valid_from, entry.ordered_at)
        valid_until = valid_from + command.life_us
        key = SigningKey(command.kid, command.algorithm, command.public, valid_from, valid_until)
        entry.emit(
            PartnerKeyAdded(command.partner, key.kid, key.algorithm, valid_from, valid_until)
        )
        kept = tuple(known for known in partner.keys if known not in gone)
        return self._put(entry, command.partner, partner, keys=(*kept, key))

    def _retire_key(self, command: RetirePartnerKey, entry: Entry) -> Answer:
        """End a key now or soon; one that ends earlier anyway stays as it is.

        Raises:
            PartnerNotFound: if there is no such partner.
            KeyNotFound: if it has no such key.
        """
        partner = self.partner(command.partner)
        key = partner.key(command.kid)
        if key is None:
            message = "the partner has no such key"
            raise KeyNotFound(message, field="kid")
        ends_at = min(key.valid_until, entry.ordered_at + command.after_us)
        entry.emit(PartnerKeyRetired(command.partner, key.kid, ends_at))
        ended = msgspec.structs.replace(key, valid_until=ends_at)
        keys = tuple(ended if known is key else known for known in partner.keys)
        return self._put(entry, command.partner, partner, keys=keys)

    def _add_certificate(self, command: AddPartnerCertificate, entry: Entry) -> Answer:
        """Add a certificate; its id is the position of the event.

        Raises:
            PartnerNotFound: if there is no such partner.
            CertificateUnfit: if it is there already.
            CredentialsTooMany: if the partner has as many as are kept.
        """
        partner = self.partner(command.partner)
        told = (command.thumbprint, command.subject, command.issuer)
        if told in {(one.thumbprint, one.subject, one.issuer) for one in partner.certificates}:
            message = "the partner has this certificate"
            raise CertificateUnfit(message)
        if len(partner.certificates) >= CREDENTIALS_MAX:
            message = f"the partner has {CREDENTIALS_MAX} certificates"
            raise CredentialsTooMany(message)
        name = ids.show(Prefix.RECORD, entry.next_position)
        entry.emit(PartnerCertificateAdded(command.partner, name, command.thumbprint))
        added = Certificate(name, *told)
        self._put(entry, command.partner, partner, certificates=(*partner.certificates, added))
        return Answer(201, _encode(CertificateBody(name)))

    def _retire_certificate(self, command: RetirePartnerCertificate, entry: Entry) -> Answer:
        """Take a certificate away.

        Raises:
            PartnerNotFound: if there is no such partner.
            CertificateNotFound: if it has no such certificate.
        """
        partner = self.partner(command.partner)
        if partner.certificate(command.certificate) is None:
            message = "the partner has no such certificate"
            raise CertificateNotFound(message, field="certificate_id")
        entry.emit(PartnerCertificateRetired(command.partner, command.certificate))
        left = tuple(one for one in partner.certificates if one.id != command.certificate)
        return self._put(entry, command.partner, partner, certificates=left)

    def _change_limits(self, command: ChangePartnerLimits, entry: Entry) -> Answer:
        """Change what a partner may.

        Raises:
            PartnerNotFound: if there is no such partner.
        """
        partner, limits = self.partner(command.partner), command.limits
        entry.emit(
            PartnerLimitsChanged(
                command.partner, limits.tier, limits.scopes, len(limits.networks), limits.signs
            )
        )
        return self._put(
            entry,
            command.partner,
            partner,
            tier=limits.tier,
            scopes=limits.scopes,
            networks=limits.networks,
            signs=limits.signs,
        )

    def _suspend(self, command: SuspendPartner, entry: Entry) -> Answer:
        """Suspend a partner, or let it in again.

        Raises:
            PartnerNotFound: if there is no such partner.
        """
        partner = self.partner(command.partner)
        entry.emit(PartnerSuspensionChanged(command.partner, command.is_suspended))
        return self._put(entry, command.partner, partner, is_suspended=command.is_suspended)

    def _issue_token(self, command: IssuePartnerToken, entry: Entry) -> Answer:
        """Note a token, if the partner and its credential are still good.

        Raises:
            PartnerNotFound: if there is no such partner.
            PartnerSuspended: if it is suspended.
            ClientUnauthenticated: if the credential is not good any more.
        """
        partner = self.partner(command.partner)
        if partner.is_suspended:
            message = "this partner is suspended"
            raise PartnerSuspended(message)
        until = good_until(partner, command.method, command.credential, now=entry.ordered_at)
        if until is None:
            message = "the credential is not good any more"
            raise ClientUnauthenticated(message)
        expires_at = min(until, entry.ordered_at + command.life_us)
        token = entry.emit(
            PartnerTokenIssued(
                entry.next_position,
                command.partner,
                command.method,
                command.credential,
                command.binding,
                command.scopes,
                expires_at,
                command.network,
            )
        )
        return Answer(200, _encode(IssuedBody(token, expires_at)))


def good_until(partner: Partner, method: Method, credential: str, *, now: int) -> int | None:
    """Until when a credential is good, as far as the record says; None: it is not good now."""
    if method is Method.CERTIFICATE:
        return None if partner.certificate(credential) is None else ids.ID_MAX
    key = partner.key(credential)
    if key is None or not key.valid_from <= now < key.valid_until:
        return None
    return key.valid_until
