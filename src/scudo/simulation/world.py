"""Makes the people, shops and places of a simulated bank from a seed."""

from random import Random
from typing import Final

from scudo.simulation.model import Person, Place, Profile, Shop, World

_PLACES: Final = (
    Place("Milano", 454_600, 91_900),
    Place("Torino", 450_700, 76_900),
    Place("Genova", 444_100, 89_500),
    Place("Bologna", 444_900, 113_400),
    Place("Firenze", 437_700, 112_600),
    Place("Roma", 419_000, 125_000),
    Place("Napoli", 408_500, 142_700),
    Place("Palermo", 381_200, 133_600),
)
#: ISO 18245 codes with what a usual purchase costs, minor units.
_TRADES: Final = (
    (5411, 2_400),
    (5812, 2_800),
    (5814, 900),
    (5541, 4_500),
    (5912, 1_400),
    (5651, 4_800),
    (4111, 350),
    (5942, 1_900),
)
_ONLINE: Final = (5968, 1_600)
_SHOPS_IN_CITY: Final = 12
_SHOPS_ONLINE: Final = 8


def make_world(random: Random, *, people: int, profile: Profile) -> World:
    """Make a world of so many people; the shops follow from the places."""
    shops = _shops(random)
    by_city = {
        city: [shop.number for shop in shops if shop.city == city and not shop.is_online]
        for city in range(len(_PLACES))
    }
    online = [shop.number for shop in shops if shop.is_online]
    # Those who are contested spend large sums; being without money is not the subject.
    purse = 20 if profile is Profile.CONTESTED else 1
    made: list[Person] = []
    for number in range(people):
        city = random.randrange(len(_PLACES))
        regular = random.sample(by_city[city], 5) + random.sample(online, 2)
        others = [other for other in random.sample(range(people), 5) if other != number]
        made.append(
            Person(
                number=number,
                city=city,
                shops=tuple(regular),
                friends=tuple(others[:4]),
                wealth=random.randrange(150_000, 600_000, 100) * purse,
                salary=random.randrange(140_000, 320_000, 100) if random.random() < 0.3 else 0,
            )
        )
    return World(_PLACES, tuple(made), shops)


def _shops(random: Random) -> tuple[Shop, ...]:
    made: list[Shop] = []
    for city in range(len(_PLACES)):
        for index in range(_SHOPS_IN_CITY):
            mcc, price = _TRADES[index % len(_TRADES)]
            usual = price * random.randrange(80, 121) // 100
            made.append(Shop(len(made), city, mcc, usual, is_online=False))
    for _ in range(_SHOPS_ONLINE):
        mcc, price = _ONLINE
        usual = price * random.randrange(80, 121) // 100
        made.append(Shop(len(made), 0, mcc, usual, is_online=True))
    return tuple(made)
