"""What clients ask for: a seeded mix of everything, on few hot accounts, partly absurd."""

from random import Random
from typing import Any, Final

from tests.model.whole import Bank

EUR, USD = 978, 840
MINOR_MAX: Final = (1 << 63) - 1
Command = list[Any]
#: Operations and how often they come.
MIX: Final = {
    "authorise": 14,
    "card_at_once": 12,
    "pay": 16,
    "capture": 12,
    "reverse": 5,
    "raise_": 5,
    "release": 4,
    "cancel": 3,
    "challenge": 5,
    "journal": 12,
    "hold_journal": 4,
    "under_mandate": 8,
    "bulk": 2,
    "register": 2,
    "open_": 2,
    "close": 4,
}


class Workload:
    """Makes commands from what it has learnt of the bank; the same seed, the same mix."""

    def __init__(self, random: Random, *, name: str, now: int | None = None) -> None:
        """Start without knowing anything.

        Args:
            random: all that is left to chance.
            name: makes the references of customers unique.
            now: microseconds, to give holds an end; None: far in the future.
        """
        self.random = random
        self.name = name
        self.now = now
        self.customers: list[int] = []
        self.accounts: list[int] = []
        self.payments: dict[str, list[int]] = {"authorised": [], "held": [], "challenged": []}
        self.ended: list[int] = []
        self.holds: list[int] = []
        self.mandates: list[int] = []
        self.made = 0

    # ---- choosing

    def account(self) -> int:
        """One of the accounts, the first ones far more often; now and then one that is not."""
        if not self.accounts or self.random.random() < 0.01:
            return self.random.choice((1, 10**12))
        rank = int(self.random.paretovariate(0.6)) - 1
        return self.accounts[rank % len(self.accounts)]

    def payment(self, *statuses: str) -> int:
        known = [number for status in statuses for number in self.payments[status][-40:]]
        if self.ended and (not known or self.random.random() < 0.05):
            known = self.ended[-40:]
        return self.random.choice(known) if known else 10**12

    def amount(self) -> int:
        roll = self.random.random()
        if roll < 0.005:
            return self.random.choice((MINOR_MAX, MINOR_MAX // 2))
        if roll < 0.08:
            return self.random.randint(20_001, 400_000)
        return self.random.randint(1, 9_000)

    def token(self, kinds: int) -> int | None:
        return self.random.randint(1, kinds) if self.random.random() < 0.7 else None

    def until(self) -> int:
        """When a hold ends: soon, so that it does."""
        if self.now is None or self.random.random() < 0.5:
            return 4_000_000_000_000_000
        return self.now + self.random.randint(1, 4_000_000)

    # ---- commands

    def next(self) -> Command:
        """Make the next command."""
        self.made += 1
        kind = self.random.choices(list(MIX), MIX.values())[0]
        made: Command = getattr(self, kind)()
        return made

    def register(self) -> Command:
        fresh = f"{self.name}-{self.made}"
        known = f"{self.name}-{self.random.randint(1, self.made)}"
        return [101, known if self.random.random() < 0.2 else fresh, 1, None]

    def open_(self) -> Command:
        owner = self.random.choice(self.customers or [10**12])
        limits = self.random.choice(((0, 0), (0, 0), (5_000, 0), (0, 7_000), (10**6, 10**6)))
        return [201, owner, self.random.choice((EUR, EUR, EUR, USD)), 100, 2, *limits]

    def close(self) -> Command:
        return [202, self.random.choice(self.accounts[-30:] or [10**12])]

    def authorise(self, *, capture: bool = False) -> Command:
        merchant = self.account() if self.random.random() < 0.3 else 0
        expires = self.random.choice((0, 0, 1, 3)) if not capture else 0
        place = (None, None)
        if self.random.random() < 0.1:
            place = self.random.choice(((454_000, 91_000), (407_000, -740_000)))
        return [
            *(401, self.account(), self.amount(), EUR, self.token(5_000), self.token(50)),
            *(merchant, self.token(3_000), self.token(3_000), 5411, 380, *place),
            *(self.random.choice((4, 5)), capture, expires, None),
        ]

    def card_at_once(self) -> Command:
        return self.authorise(capture=True)

    def pay(self) -> Command:
        currency = USD if self.random.random() < 0.02 else EUR
        sides = (self.account(), self.account())
        return [402, *sides, self.amount(), currency, self.token(2_000), *[None] * 4, 1, None]

    def capture(self) -> Command:
        amount = self.random.choice((self.amount(), self.random.randint(1, 300)))
        return [403, self.payment("authorised"), amount, self.random.random() < 0.4]

    def reverse(self) -> Command:
        amount = self.random.choice((0, self.random.randint(1, 2_000)))
        return [404, self.payment("authorised"), amount]

    def raise_(self) -> Command:
        return [405, self.payment("authorised"), self.amount()]

    def release(self) -> Command:
        return [406, self.payment("held", "held", "challenged"), "reviewed"]

    def cancel(self) -> Command:
        return [407, self.payment("held", "challenged", "authorised")]

    def challenge(self) -> Command:
        return [408, self.payment("challenged"), self.random.random() < 0.8]

    def journal(self) -> Command:
        """Money from outside for a few, and now and then a leg that cannot be."""
        count = self.random.randint(1, 4)
        legs = [[1, self.amount(), EUR, 0, self.account(), 0, True, 0, 0, 1] for _ in range(count)]
        if self.random.random() < 0.3:
            legs.append([1, self.amount(), EUR, self.account(), 0, 0, True, 0, 0, 2])
        return [203, 2, legs, "day"]

    def hold_journal(self) -> Command:
        """Holds under a mandate: place, raise, capture, release, of this journal or before."""
        sides = (self.account(), self.account())
        amount, until = self.random.randint(1, 3_000), self.until()
        legs = [[2, amount, EUR, *sides, 0, True, until, 1_000, 3]]
        mine = -1 if self.random.random() < 0.5 else self.random.choice(self.holds[-20:] or [-1])
        for _ in range(self.random.randint(0, 3)):
            kind = self.random.choice((3, 4, 5))
            part = self.random.randint(0 if kind == 5 else 1, 1_500)
            final = self.random.random() < 0.3
            legs.append([kind, part, 0, 0, 0, mine, final, 0, 0, 0])
        return [203, self.random.choice((3, 6)), legs, "hold"]

    def under_mandate(self) -> Command:
        """A journal under a mandate that bounds movement, day, accounts or time."""
        mandate = self.random.choice(self.mandates or [10**12])
        count = self.random.randint(1, 3)
        legs = [
            [1, self.random.randint(1, 700), EUR, 0, self.account(), 0, True, 0, 0, 4]
            for _ in range(count)
        ]
        if self.random.random() < 0.2:
            sides = (self.account(), self.account())
            legs.append([2, self.random.randint(1, 300), EUR, *sides, 0, True, self.until(), 0, 3])
            legs.append([4, self.random.randint(1, 300), 0, 0, 0, -count - 1, True, 0, 0, 0])
        return [203, mandate, legs, "under-mandate"]

    def new_mandates(self) -> list[Command]:
        """Mandates with bounds that a history comes up against."""
        bounds: list[dict[str, Any]] = [
            {"currency": EUR, "amount_max": 600, "day_max": 6_000},
            {"currency": EUR, "day_max": 1_200, "debit_products": [1]},
            {"accounts": sorted(self.accounts[:3]), "credit_products": [100]},
            {"valid_to": (self.now or 4_000_000_000_000_000) + 20_000_000},
        ]
        named = [{"name": f"m{n}", "owner": "operations"} for n in range(len(bounds))]
        return [[502, 0, name | bound] for name, bound in zip(named, bounds, strict=True)]

    def bulk(self) -> Command:
        """Groups that stand or fall alone."""
        journals = [self.random.choice((self.journal, self.hold_journal))() for _ in range(3)]
        return [205, 2, [journal[2] for journal in journals], "bulk"]

    def altered(self, command: Command) -> Command:
        """The same command with one member changed."""
        changed = list(command)
        names = Bank.fields[command[0]]
        for name in ("amount", "final", "reference", "reason_code", "has_passed", "hold_limit"):
            if name in names:
                index = names.index(name) + 1
                value = changed[index]
                changed[index] = (
                    not value
                    if isinstance(value, bool)
                    else value + "-other"
                    if isinstance(value, str)
                    else value % 1_000_000 + 1
                )
                return changed
        changed[1] += 1
        return changed

    # ---- learning

    def learn(self, command: Command, status: int, body: dict[str, Any]) -> None:
        """Remember what an answer says there is."""
        if status >= 400:
            return
        number = int(body["id"][4:], 16) if "id" in body else 0
        if command[0] == 101:
            self.customers.append(number)
        elif command[0] == 201 and command[2] == EUR:
            self.accounts.append(number)
        elif command[0] == 502:
            self.mandates.append(number)
        elif command[0] in {203, 205}:
            groups = body.get("results", [body])
            texts = [text for group in groups for text in group.get("transfers", ())]
            self.holds += [int(text[4:], 16) for text in texts if text.startswith("hld")]
        elif 401 <= command[0] < 500:
            for numbers in (*self.payments.values(), self.ended):
                if number in numbers[-60:]:
                    numbers.remove(number)
            self.payments.get(body["status"], self.ended).append(number)
