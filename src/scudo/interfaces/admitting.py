"""For whom an installation works, and who gets in: environment, TLS, the partners' desk."""

import asyncio
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from scudo import identity
from scudo.bootstrap import Bank, now_us
from scudo.fabric import Answer, ServerTls, TlsFiles, web
from scudo.fabric import settings as installation
from scudo.governance import Act, RecordActs, Recorder
from scudo.identity import partners
from scudo.interfaces.http import Nonces, SignatureCheck

_log = structlog.get_logger("scudo.serving")
_ISSUER: Final = "urn:scudo:sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """For whom an installation works, and by what it is reached.

    Attributes:
        environment: whose credentials are good.
        issuer: what partners call this bank in assertions.
        tls: of the server; None: it speaks plain HTTP.
        clock: microseconds, for the life of tokens and signatures.
    """

    environment: partners.Environment = partners.Environment.SANDBOX
    issuer: str = _ISSUER
    tls: ServerTls | None = None
    clock: Callable[[], int] = now_us

    @classmethod
    def of(cls, settings: installation.Settings, *, tls: ServerTls | None) -> "Site":
        """What an installation is told by its settings."""
        own = partners.Environment(settings.environment)
        return cls(environment=own, issuer=settings.issuer_name, tls=tls)


def tls_of(settings: installation.Settings, host: str) -> ServerTls | None:
    """The TLS of an installation, if it has any.

    Raises:
        SettingInvalid: if production would speak plain HTTP to other machines.
        TlsUnfit: if its files cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        if settings.environment == "production" and not _is_loopback(host):
            message = f"production serves {host} by TLS: set SCUDO_TLS_CERT and SCUDO_TLS_KEY."
            raise installation.SettingInvalid(message)
        return None
    files = TlsFiles(settings.tls_cert, settings.tls_key, settings.client_ca)
    return ServerTls(files, clock=now_us)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def partner_desk(
    bank: Bank, site: Site, *, proofs: identity.Proofs, submit: web.Submit, record: Recorder
) -> partners.TokenDesk:
    """Who gives partners their tokens, and lets them in by these.

    Args:
        bank: open.
        site: for whom it works.
        proofs: checks those of customers too, so that each is used once, whoever sent it.
        submit: hands commands to the writer.
        record: has acts in the log.
    """

    def note(act: Act) -> None:
        bank.queue(RecordActs((act,))).add_done_callback(_tell_unrecorded)

    door = partners.Doorkeeper(
        bank.rooms.partners,
        environment=site.environment,
        clock=site.clock,
        note=note,
        proofs=proofs,
    )
    return partners.TokenDesk(
        doorkeeper=door,
        submit=submit,
        record=record,
        audience=frozenset({site.issuer}),
        tokens=bank.tokeniser,
    )


def signature_check(door: partners.Doorkeeper) -> SignatureCheck:
    """Who looks at the signatures of orders."""
    return SignatureCheck(door.must_sign, door.signed_by, door.clock, Nonces())


def _tell_unrecorded(recorded: asyncio.Future[Answer]) -> None:
    """Leave a trace where the log could not take an act."""
    if not recorded.cancelled() and (error := recorded.exception()) is not None:
        _log.error("act_not_recorded", reason=type(error).__name__)
