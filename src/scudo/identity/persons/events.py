"""What the log is told of persons: that something was kept or erased, never what.

No token of an e-mail or a document stands beside a customer here: the log is for ever, and
such a pair would tell whose it was after the person is erased.
"""

from typing import ClassVar

from scudo.fabric import Event
from scudo.kernel import ids


class PersonKept(Event, frozen=True, tag=551):
    """The vault keeps data of the person that a customer is.

    Attributes:
        fields: names of what was put, in order.
        age_band: years of age, as `18-24`, for rules; None if no date of birth was put.
    """

    name: ClassVar[str] = "identity.person.kept.v1"

    customer: ids.CustomerId
    fields: tuple[str, ...]
    age_band: str | None


class PersonErased(Event, frozen=True, tag=552):
    """The person that a customer is was forgotten, for ever; the customer's books stand.

    Attributes:
        erased_at: microseconds since 1970, by the vault's clock.
        reason: a code, or the number of a case.
    """

    name: ClassVar[str] = "identity.person.erased.v1"

    customer: ids.CustomerId
    erased_at: int
    reason: str


class CardKept(Event, frozen=True, tag=553):
    """The vault keeps a card number, or keeps a known one with another expiry.

    Attributes:
        customer: whose it is; None: nobody's of ours.
    """

    name: ClassVar[str] = "identity.card.kept.v1"

    card: ids.CardReference
    customer: ids.CustomerId | None
