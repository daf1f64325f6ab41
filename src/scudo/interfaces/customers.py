"""Where customers themselves are served: their office, put together on an open bank."""

from typing import Final

import structlog

from scudo.bootstrap import Bank, now_us
from scudo.fabric import Answer, Command, web
from scudo.fabric import settings as environment
from scudo.governance import Recorder
from scudo.identity import customers, mail, passkeys, places
from scudo.vault import AsyncVaultClient

_log: Final = structlog.get_logger("scudo.serving")


def customers_office(
    bank: Bank,
    settings: environment.Settings,
    *,
    record: Recorder,
    vault: AsyncVaultClient | None = None,
) -> customers.Office:
    """Open the office of a bank.

    Args:
        bank: open.
        settings: of the installation.
        record: has acts in the log before it returns.
        vault: keeps what is personal; without one it is in memory, and gone with the process.

    Raises:
        NetworksUnfit: if the installation's list of networks cannot be read.
    """

    async def submit(command: Command, call: web.Call) -> Answer:
        return await bank.queue(
            command, client=call.client.sender, owner=call.client.customer, at=call.ordered_at
        )

    if settings.mail_server is None:
        folder = settings.home / "mail"
        deliver = mail.into_folder(folder)
        _log.warning("no_mail_server", set="SCUDO_SMTP", mails_are_written_to=str(folder))
    else:
        deliver = mail.by_smtp(settings.mail_server)
    persons: customers.Persons = customers.RememberedPersons(bank.tokeniser)
    if vault is not None:
        persons = customers.VaultedPersons(
            bank.tokeniser, vault.ask, tell=bank.submit, record=record
        )
    known = None if settings.networks is None else places.Places(settings.networks, now=now_us)
    ports = customers.Ports(
        submit=submit,
        tell=bank.submit,
        record=record,
        reads=bank.reads,
        now=now_us,
        persons=persons,
        mailer=mail.Mailer(deliver),
        party=passkeys.RelyingParty(settings.passkey_domain, "Scudo", settings.origins),
        origins=settings.origins,
        country=None if known is None else known.country,
    )
    return customers.Office(bank.rooms.customers.store, ports)
