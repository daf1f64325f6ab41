"""What honest people do on a day: where, when and how much they pay."""

from random import Random
from typing import Final

from scudo.decisions import Channel
from scudo.kernel import SECOND_US
from scudo.simulation.model import CardUse, Label, Life, Person, Remittance, Step, World

_HOUR_US: Final = 3_600 * SECOND_US
_MINUTE_US: Final = 60 * SECOND_US
#: How many of a thousand payments are made in each hour of the day.
_HOURS: Final = (
    *(4, 2, 2, 2, 4, 10, 28, 55, 62, 52, 50, 62),
    *(80, 70, 52, 50, 55, 70, 82, 78, 58, 38, 22, 12),
)
_WAITING: Final = Life()


def moment(random: Random, begins_at: int) -> int:
    """A moment of the day, as likely as people are awake; on a whole second."""
    (hour,) = random.choices(range(24), weights=_HOURS)
    return begins_at + hour * _HOUR_US + random.randrange(3_600) * SECOND_US


def device_of(person: Person) -> str:
    """The telephone that a person always uses."""
    return f"phone-{person.number}"


def address_of(person: Person) -> str:
    """The internet address of a person's home."""
    return f"home-{person.number}"


def honest(random: Random, world: World, begins_at: int) -> Step:
    """One payment of somebody who means it."""
    person = random.choice(world.people)
    at, kind = moment(random, begins_at), random.randrange(100)
    if kind < 15:
        return _to_a_friend(random, person, at)
    if kind < 30:
        return _online(random, world, person, at=at)
    return _in_a_shop(random, world, person, at=at)


def _in_a_shop(random: Random, world: World, person: Person, *, at: int) -> CardUse:
    shop = world.shops[random.choice(person.shops[:5])]
    amount = shop.price * random.randrange(60, 161) // 100
    life, at_once = _WAITING, random.randrange(100) < 85
    if not at_once:
        # A table, a room, a pump: authorised first; some ask for more, some let it go.
        life = Life(
            captures=random.randrange(100) < 80,
            raise_by=amount // 5 if random.randrange(100) < 40 else 0,
            delay_us=random.randrange(20, 90) * _MINUTE_US,
        )
    place = world.places[shop.city]
    return CardUse(
        at=at,
        person=person.number,
        shop=shop.number,
        amount=amount,
        place=place,
        device=None,
        ip=None,
        channel=Channel.CARD_PRESENT,
        at_once=at_once,
        life=life,
        label=Label.HONEST,
    )


def _online(random: Random, world: World, person: Person, *, at: int) -> CardUse:
    shop = world.shops[random.choice(person.shops[5:])]
    return CardUse(
        at=at,
        person=person.number,
        shop=shop.number,
        amount=shop.price * random.randrange(60, 161) // 100,
        place=None,
        device=device_of(person),
        ip=address_of(person),
        channel=Channel.CARD_NOT_PRESENT,
        at_once=True,
        life=_WAITING,
        label=Label.HONEST,
    )


def _to_a_friend(random: Random, person: Person, at: int) -> Remittance:
    return Remittance(
        at=at,
        person=person.number,
        payee=random.choice(person.friends),
        amount=random.randrange(500, 9_000, 50),
        device=device_of(person),
        ip=address_of(person),
        channel=Channel.APP,
        life=_WAITING,
        label=Label.HONEST,
    )


def acquaintance(random: Random, person: Person, at: int) -> Remittance:
    """A small payment by which the bank gets to know a customer's telephone."""
    return Remittance(
        at=at,
        person=person.number,
        payee=person.friends[0],
        amount=random.randrange(500, 2_000, 50),
        device=device_of(person),
        ip=address_of(person),
        channel=Channel.APP,
        life=_WAITING,
        label=Label.HONEST,
    )


def large_purchase(random: Random, world: World, begins_at: int) -> CardUse:
    """An honest purchase that is large enough to be asked about."""
    person = random.choice(world.people)
    at = moment(random, begins_at)
    shop = world.shops[random.choice(person.shops[:5])]
    return CardUse(
        at=at,
        person=person.number,
        shop=shop.number,
        amount=random.randrange(25_000, 90_000, 100),
        place=world.places[shop.city],
        device=None,
        ip=None,
        channel=Channel.CARD_PRESENT,
        at_once=True,
        life=Life(delay_us=random.randrange(245, 290) * SECOND_US),
        label=Label.HONEST,
    )


def large_remittance(random: Random, world: World, begins_at: int) -> Remittance:
    """A large first payment to somebody: honest, and held until a person has looked."""
    person, payee = random.sample(world.people, 2)
    return Remittance(
        at=moment(random, begins_at),
        person=person.number,
        payee=payee.number,
        amount=random.randrange(105_000, 180_000, 100),
        device=device_of(person),
        ip=address_of(person),
        channel=Channel.WEB,
        life=Life(
            is_released=random.randrange(100) < 85,
            delay_us=random.randrange(15, 60) * _MINUTE_US,
        ),
        label=Label.HONEST,
    )
