"""What stands on lists, and how an event says it: one bit for each list and member."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from scudo.kernel import Prefix

#: What an event says that stands on no list; None, of an older one: nobody has looked.
NOTHING: Final = 0
_WIDTH: Final = 8


class ListName(StrEnum):
    """The lists; what each means is what the rules that ask it do."""

    DENY = "deny"
    WATCH = "watch"
    ALLOW = "allow"


class Subject(StrEnum):
    """Members of an event that may stand on a list."""

    CARD = "card"
    DEVICE = "device"
    IP = "ip"
    MERCHANT = "merchant"
    COUNTRY = "country"
    BENEFICIARY = "beneficiary"
    CUSTOMER = "customer"


#: How each is written; a country is its ISO 3166-1 number.
PREFIXES: Final = {
    Subject.CARD: Prefix.CARD,
    Subject.DEVICE: Prefix.DEVICE,
    Subject.IP: Prefix.NETWORK,
    Subject.MERCHANT: Prefix.MERCHANT,
    Subject.BENEFICIARY: Prefix.ACCOUNT,
    Subject.CUSTOMER: Prefix.CUSTOMER,
}
_BITS: Final = {
    (name, subject): 1 << (_WIDTH * place + bit)
    for place, name in enumerate(ListName)
    for bit, subject in enumerate(Subject)
}
#: A list, and what of an event stands on it.
Listed = tuple[ListName, Subject]


def bit_of(name: ListName, subject: Subject) -> int:
    """The bit of `listed` that a member sets on a list, for ever."""
    return _BITS[name, subject]


def names_of(listed: int) -> Iterable[str]:
    """What stands on which list, as people read it."""
    return (f"{name}:{subject}" for (name, subject), bit in _BITS.items() if listed & bit)
