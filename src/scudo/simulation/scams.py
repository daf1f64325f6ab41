"""Scams with labels: what a gate should notice, told apart from what it should let through.

Source: the typologies of card testing, account takeover, money mules, cloned cards and
structuring as card schemes and financial intelligence units describe them.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from scudo.decisions import Channel
from scudo.kernel import SECOND_US
from scudo.simulation.habits import address_of, device_of, moment
from scudo.simulation.model import CardUse, Label, Life, Person, Remittance, Step, World

_MINUTE_US: Final = 60 * SECOND_US
#: Nobody answers a challenge for the thief, and no reviewer lets it go on.
_STOLEN: Final = Life(passes_challenge=None, is_released=False)
#: The victim was talked into it and confirms; the reviewer sees it.
_DECEIVED: Final = Life(passes_challenge=True, is_released=False)


def card_testing(random: Random, world: World, begins_at: int) -> Iterator[Step]:
    """A stolen card number is tried with tiny amounts, then used for a large one."""
    person, at = random.choice(world.people), moment(random, begins_at)
    online = [shop.number for shop in world.shops if shop.is_online]
    thief = random.randrange(1 << 30)

    def use(amount: int) -> CardUse:
        return CardUse(
            at=at,
            person=person.number,
            shop=random.choice(online),
            amount=amount,
            place=None,
            device=f"script-{thief}",
            ip=f"proxy-{thief}",
            channel=Channel.CARD_NOT_PRESENT,
            at_once=True,
            life=_STOLEN,
            label=Label.CARD_TESTING,
        )

    for _ in range(random.randrange(9, 14)):
        yield use(random.randrange(50, 199))
        at += random.randrange(15, 45) * SECOND_US
    yield use(random.randrange(25_000, 60_000, 100))


def account_takeover(random: Random, world: World, begins_at: int) -> Iterator[Step]:
    """A thief with a new device sends nearly everything to a mule."""
    person, mule = random.sample(world.people, 2)
    at, thief = moment(random, begins_at), random.randrange(1 << 30)
    for share in (60, 30):
        yield Remittance(
            at=at,
            person=person.number,
            payee=mule.number,
            amount=max(60_000, person.wealth * share // 100),
            device=f"stolen-{thief}",
            ip=f"proxy-{thief}",
            channel=Channel.WEB,
            life=_STOLEN,
            label=Label.ACCOUNT_TAKEOVER,
        )
        at += random.randrange(2, 6) * _MINUTE_US


def mule_fan_in(random: Random, world: World, begins_at: int) -> Iterator[Step]:
    """Many who were deceived pay one mule within hours, each from their own telephone."""
    mule, *victims = random.sample(world.people, 12)
    at = moment(random, begins_at)
    for victim in victims:
        amount = random.randrange(15_000, 48_000, 100)
        yield _own(victim, mule, at=at, amount=amount, label=Label.MULE_FAN_IN)
        at += random.randrange(3, 25) * _MINUTE_US


def structuring(random: Random, world: World, begins_at: int) -> Iterator[Step]:
    """One account pays out, one after the other, just less than what is looked at."""
    person, *payees = random.sample(world.people, 11)
    at = moment(random, begins_at)
    for payee in payees:
        amount = random.randrange(9_000, 9_990, 10)
        yield _own(person, payee, at=at, amount=amount, label=Label.STRUCTURING)
        at += random.randrange(4, 12) * _MINUTE_US


def _own(payer: Person, payee: Person, *, at: int, amount: int, label: Label) -> Remittance:
    return Remittance(
        at=at,
        person=payer.number,
        payee=payee.number,
        amount=amount,
        device=device_of(payer),
        ip=address_of(payer),
        channel=Channel.APP,
        life=_DECEIVED,
        label=label,
    )


def impossible_travel(random: Random, world: World, begins_at: int) -> Iterator[Step]:
    """A card is presented at home and, minutes later, its copy at the other end of the country."""
    person, at = random.choice(world.people), moment(random, begins_at)
    far = (person.city + len(world.places) // 2) % len(world.places)
    shops = [shop for shop in world.shops if shop.city == far and not shop.is_online]
    home = world.shops[person.shops[0]]
    for shop, label, wait in (
        (home, Label.HONEST, 0),
        (random.choice(shops), Label.IMPOSSIBLE_TRAVEL, random.randrange(9, 16) * _MINUTE_US),
        (random.choice(shops), Label.IMPOSSIBLE_TRAVEL, random.randrange(2, 5) * _MINUTE_US),
    ):
        at += wait
        yield CardUse(
            at=at,
            person=person.number,
            shop=shop.number,
            amount=shop.price * random.randrange(80, 160) // 100,
            place=world.places[shop.city],
            device=None,
            ip=None,
            channel=Channel.CARD_PRESENT,
            at_once=True,
            life=_STOLEN,
            label=label,
        )


Scam = Callable[[Random, World, int], Iterator[Step]]
#: Every scam, and of how many payments of a normal and of a contested day one belongs to it.
SCAMS: Final[tuple[tuple[Scam, int, int], ...]] = (
    (card_testing, 1_500, 140),
    (account_takeover, 1_200, 250),
    (mule_fan_in, 3_000, 1_000),
    (impossible_travel, 1_000, 120),
    (structuring, 3_000, 700),
)
