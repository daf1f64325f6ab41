"""What a simulated day is made of: people, shops, and what they are going to do."""

from dataclasses import dataclass
from enum import StrEnum

from scudo.decisions import Channel


class Profile(StrEnum):
    """How much of the day is ordinary."""

    NORMAL = "normal"
    CONTESTED = "contested"


class Label(StrEnum):
    """What a payment really is; the bank is not told."""

    HONEST = "honest"
    CARD_TESTING = "card_testing"
    ACCOUNT_TAKEOVER = "account_takeover"
    MULE_FAN_IN = "mule_fan_in"
    IMPOSSIBLE_TRAVEL = "impossible_travel"
    STRUCTURING = "structuring"


@dataclass(frozen=True, slots=True)
class Place:
    """A city, in ten-thousandths of a degree."""

    name: str
    latitude_e4: int
    longitude_e4: int


@dataclass(frozen=True, slots=True)
class Person:
    """A customer with one account, one card, one telephone and one line at home.

    Attributes:
        city: index of the place where the person lives.
        shops, friends: numbers of those whom the person usually pays.
        wealth: minor units on the account when the day begins.
        salary: minor units that come in the morning; 0 on most days.
    """

    number: int
    city: int
    shops: tuple[int, ...]
    friends: tuple[int, ...]
    wealth: int
    salary: int


@dataclass(frozen=True, slots=True)
class Shop:
    """A merchant with one account; `price` is what a usual purchase costs, minor units."""

    number: int
    city: int
    mcc: int
    price: int
    is_online: bool


@dataclass(frozen=True, slots=True)
class World:
    """Everybody whom a day needs."""

    places: tuple[Place, ...]
    people: tuple[Person, ...]
    shops: tuple[Shop, ...]


@dataclass(frozen=True, slots=True)
class Life:
    """What will be done about a payment, as far as its status allows.

    Attributes:
        passes_challenge: whether who pays proves to be the customer; None never answers.
        is_released: whether a person of the bank lets it go on when it is held.
        captures: whether the merchant captures what was only authorised, else reverses it.
        raise_by: minor units that are authorised on top before the capture.
        delay_us: when the first of these things is done, after the payment.
    """

    passes_challenge: bool | None = True
    is_released: bool = True
    captures: bool = True
    raise_by: int = 0
    delay_us: int = 250_000_000


@dataclass(frozen=True, slots=True)
class CardUse:
    """A card that is presented or typed in.

    Attributes:
        at: microseconds since 1970.
        device, ip: names of what it was typed in on and through; None where it was presented.
        at_once: whether it is captured with the authorisation.
    """

    at: int
    person: int
    shop: int
    amount: int
    place: Place | None
    device: str | None
    ip: str | None
    channel: Channel
    at_once: bool
    life: Life
    label: Label


@dataclass(frozen=True, slots=True)
class Remittance:
    """Money sent from one person to another."""

    at: int
    person: int
    payee: int
    amount: int
    device: str
    ip: str
    channel: Channel
    life: Life
    label: Label


@dataclass(frozen=True, slots=True)
class Salaries:
    """The employers pay those who have a salary that day."""

    at: int


Step = CardUse | Remittance | Salaries


@dataclass(frozen=True, slots=True)
class Day:
    """A day that could be lived: the world, and what happens in it, in order of time.

    Attributes:
        name: the same seed, profile and size have the same name, and are the same day.
        opens_at: when the accounts are opened, some days before; microseconds since 1970.
        before: what happens before the day, so that the bank knows its customers.
    """

    name: str
    opens_at: int
    world: World
    before: tuple[Step, ...]
    steps: tuple[Step, ...]
