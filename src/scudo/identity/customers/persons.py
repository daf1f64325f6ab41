"""Ports to where personal data and keys are: this room holds neither."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from scudo.fabric import Answer, Command, Tokens
from scudo.governance import Act, Recorder
from scudo.identity.persons import AskVault, RecordPersonKept
from scudo.kernel import Prefix, ids
from scudo.vault import PutPerson, ReadFields, Why, errors

#: Names of the fields, as the vault declares them. A hash of a password is Argon2id's PHC string;
#: while it changes there are two, the new one first, parted by a space.
EMAIL: Final = "email"
TOTP_SEED: Final = "totp_seed"
PASSWORD_HASH: Final = "password_hash"  # noqa: S105 - a name
#: What each is read for.
_PURPOSES: Final = {
    EMAIL: "notification",
    TOTP_SEED: "authentication",
    PASSWORD_HASH: "authentication",
}
_BANK: Final = "bank"


class Persons(Protocol):
    """Turns values into keyed tokens, and keeps what is personal or secret of customers."""

    async def token(self, kind: str, value: str) -> int:
        """Keyed token of a value, 63 bits; `kind` keeps equal values of kinds apart.

        Kinds are `email`, `ip`, `device`, and `code` for hashes of mailed and recovery codes.
        """

    async def keep(self, customer: int, fields: Mapping[str, str]) -> None:
        """Keep fields of a customer."""

    async def read(self, customer: int, field: str) -> str | None:
        """Read a field for the customer's own authentication, or to notify them."""


class RememberedPersons:
    """The port as long as no vault fills it: fields are in memory, and gone with the process."""

    def __init__(self, tokens: Tokens) -> None:
        """Take tokens from whoever makes them."""
        self._tokens = tokens
        self._fields: dict[tuple[int, str], str] = {}

    async def token(self, kind: str, value: str) -> int:
        """Keyed token of a value."""
        (token,) = await self._tokens.tokens([(kind, value)])
        return token

    async def keep(self, customer: int, fields: Mapping[str, str]) -> None:
        """Keep fields in memory."""
        for field, value in fields.items():
            self._fields[customer, field] = value

    async def read(self, customer: int, field: str) -> str | None:
        """Read a field from memory."""
        return self._fields.get((customer, field))


class VaultedPersons:
    """The port filled by the vault; what is kept and what is read of people is audited."""

    def __init__(
        self,
        tokens: Tokens,
        ask: AskVault,
        *,
        tell: Callable[[Command], Awaitable[Answer]],
        record: Recorder,
    ) -> None:
        """Ask a vault; `tell` and `record` have facts and reads in the log."""
        self._tokens = tokens
        self._ask = ask
        self._tell = tell
        self._record = record

    async def token(self, kind: str, value: str) -> int:
        """Keyed token of a value."""
        (token,) = await self._tokens.tokens([(kind, value)])
        return token

    async def keep(self, customer: int, fields: Mapping[str, str]) -> None:
        """Have the vault keep fields, and the log the fact."""
        kept = await self._ask(PutPerson(customer, dict(fields)))
        await self._tell(RecordPersonKept(customer, tuple(fields), kept.age_band))

    async def read(self, customer: int, field: str) -> str | None:
        """Have the vault read a field; of a personal one the log is told first."""
        purpose = _PURPOSES[field]
        # For a name that nobody has, the vault is asked about a person that nobody is.
        asked = ReadFields(customer or ids.ID_MAX, (field,), Why(purpose, _BANK, purpose))
        try:
            found = await self._ask(asked)
        except errors.PersonNotFound:
            return None
        if field == EMAIL:
            read = Act(
                0,
                0,
                "persons.read_fields",
                object=ids.show(Prefix.CUSTOMER, customer),
                whose=customer,
                reason=purpose,
            )
            await self._record([read])
        return found.values.get(field)
