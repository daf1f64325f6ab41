"""Puts a day together: honest payments, and the scams among them, all from one seed."""

from datetime import UTC, datetime
from operator import attrgetter
from random import Random
from typing import Final

from scudo.kernel import DAY_US, SECOND_US, micros
from scudo.simulation.habits import acquaintance, honest, large_purchase, large_remittance
from scudo.simulation.model import Day, Profile, Salaries, Step
from scudo.simulation.scams import SCAMS
from scudo.simulation.world import make_world

#: A Monday; the simulation has no other clock than this.
_MONDAY: Final = micros(datetime(2026, 1, 5, tzinfo=UTC))
_SATURDAY: Final = _MONDAY - 2 * DAY_US
_SALARIES_AT_US: Final = 6 * 3_600 * SECOND_US
_PEOPLE_MIN: Final = 60
_PAYMENTS_A_PERSON: Final = 8
#: Shares of a hundred: large purchases and large remittances of honest people.
_LARGE: Final = {Profile.NORMAL: (1, 0), Profile.CONTESTED: (5, 8)}


def make_day(*, seed: int, payments: int, profile: Profile = Profile.NORMAL) -> Day:
    """Make a day with exactly so many payments; equal arguments make equal days."""
    name = f"day:{profile}:{payments}:{seed}"
    random = Random(name)
    people = max(_PEOPLE_MIN, payments // _PAYMENTS_A_PERSON)
    world = make_world(random, people=people, profile=profile)
    steps: list[Step] = []
    for scam, normal, contested in SCAMS:
        each = normal if profile is Profile.NORMAL else contested
        for _ in range(max(1, payments // each)):
            steps.extend(scam(random, world, _MONDAY))
    purchases, remittances = _LARGE[profile]
    steps += [large_purchase(random, world, _MONDAY) for _ in range(payments * purchases // 100)]
    steps += [
        large_remittance(random, world, _MONDAY) for _ in range(payments * remittances // 100)
    ]
    # What would run into the next day stays within this one.
    steps = [step for step in steps if step.at < _MONDAY + DAY_US][:payments]
    steps += [honest(random, world, _MONDAY) for _ in range(payments - len(steps))]
    steps.append(Salaries(_MONDAY + _SALARIES_AT_US))
    steps.sort(key=attrgetter("at"))
    before = [
        acquaintance(random, person, _SATURDAY + number * SECOND_US)
        for number, person in enumerate(world.people)
    ]
    return Day(name, _SATURDAY, world, tuple(before), tuple(steps))
