"""Lives a simulated day in a bank: what people do next depends on what the bank answered.

Time is cut into windows shorter than the shortest wait before anybody reacts. What falls
into one window is handed in together, in order; so the day is the same as if every
answer were waited for, and many commands share one commit.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from scudo.fabric import Answer, ClockIsLive, Command
from scudo.identity import CustomerKind, RegisterCustomer
from scudo.kernel import SECOND_US, Prefix, currency, ids
from scudo.ledger import Mandate, Movement, Nature, OpenAccount, PostJournal, Product, TransferKind
from scudo.payments import (
    AnswerChallenge,
    AuthoriseCard,
    Capture,
    Pay,
    RaiseAuthorisation,
    ReleasePayment,
    Reverse,
)
from scudo.simulation.desk import Desk
from scudo.simulation.errors import DayOutOfTime, ReplayStopped
from scudo.simulation.model import CardUse, Day, Label, Person, Remittance, Salaries, Step

#: Shorter than any `Life.delay_us`.
_WINDOW_US: Final = 240 * SECOND_US
_AFTER_RAISE_US: Final = 300 * SECOND_US
_EURO: Final = currency("EUR").numeric
_ITALY: Final = 380
_MOVEMENTS: Final = 500
_PROBLEM: Final = 400
_FAULT: Final = 500
_REVIEWED: Final = "reviewed_by_agent"
#: Statuses of an answer in the words of a report; `captured` and its like were let through.
_STOPPED: Final = {
    "held": "held",
    "challenged": "stepped_up",
    "declined": "declined",
    "blocked": "blocked",
    "refused": "refused",
}
ALLOWED: Final = "allowed"


class _Body(msgspec.Struct):
    id: str = ""
    decision_id: str = ""
    status: str = "refused"
    amount_minor: int = 0
    captured_minor: int = 0


class _Problem(msgspec.Struct):
    code: str
    detail: str


_decode: Final = msgspec.json.Decoder(_Body).decode
_decode_problem: Final = msgspec.json.Decoder(_Problem).decode


@dataclass(slots=True)
class _Payment:
    """A payment of the day: what it was for, and what has been done about it."""

    step: CardUse | Remittance
    key: str
    id: int = 0
    deeds: int = 0
    is_raised: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What the bank first answered to one payment; 0 stands for what a refusal does not name."""

    payment: int
    decision: int
    outcome: str
    label: Label


@dataclass(slots=True)
class Lived:
    """What came of a day.

    Attributes:
        told: the first answer to every payment, in order.
        deeds: what was done about payments afterwards, by kind.
    """

    told: list[Told] = field(default_factory=list)
    deeds: Counter[str] = field(default_factory=Counter)

    def outcomes(self) -> Counter[str]:
        """How many payments were first answered how."""
        return Counter(told.outcome for told in self.told)

    def noticed(self) -> dict[Label, tuple[int, int]]:
        """Of every label: how many payments did not simply pass, and how many there were."""
        every = Counter(told.label for told in self.told)
        stopped = Counter(told.label for told in self.told if told.outcome != ALLOWED)
        return {label: (stopped[label], count) for label, count in every.items()}


Watch = Callable[[int, int], None]
_Act = tuple[int, int, _Payment | None, Command]


class Living:
    """One run through one day."""

    def __init__(self, day: Day, desk: Desk) -> None:
        """Prepare to live a day at a desk."""
        self._day = day
        self._desk = desk
        self._people: list[int] = []
        self._shops: list[int] = []
        self._due: list[_Act] = []
        self._tokens: dict[tuple[str, str], int] = {}
        self._count = 0
        self._lived = Lived()

    async def run(self, watch: Watch) -> Lived:
        """Open everybody's accounts, then live the day.

        Raises:
            DayOutOfTime: the bank's time is ours by now.
            ReplayStopped: the bank could not take something.
        """
        await self._move_in()
        await self._live(self._day.before, "before", lambda *_: None)
        self._lived = Lived()
        await self._live(self._day.steps, "day", watch)
        return self._lived

    async def _live(self, planned: tuple[Step, ...], name: str, watch: Watch) -> None:
        await self._learn_tokens(planned)
        steps = self._acts(planned, name)
        upcoming = next(steps, None)
        while upcoming is not None or self._due:
            begins = min(act[0] for act in (upcoming, *self._due[:1]) if act is not None)
            window: list[_Act] = []
            while upcoming is not None and upcoming[0] < begins + _WINDOW_US:
                heapq.heappush(self._due, upcoming)
                upcoming = next(steps, None)
            while self._due and self._due[0][0] < begins + _WINDOW_US:
                window.append(heapq.heappop(self._due))
            await self._do(window)
            watch(len(self._lived.told), len(planned))

    # ---- before the day

    async def _move_in(self) -> None:
        day = self._day
        people = [f"{day.name}:person:{person.number}" for person in day.world.people]
        shops = [f"{day.name}:shop:{shop.number}" for shop in day.world.shops]
        self._people = await self._open(people, CustomerKind.PERSON, Product.CURRENT)
        self._shops = await self._open(shops, CustomerKind.BUSINESS, Product.MERCHANT)
        wealth = [(person, person.wealth) for person in day.world.people]
        for name, journal in self._credits(Mandate.OPENING, "opening", wealth):
            await self._born(journal, name)

    async def _open(self, names: list[str], kind: CustomerKind, product: Product) -> list[int]:
        owners = [
            self._desk.send(RegisterCustomer(name, kind, _ITALY), key=name, at=self._day.opens_at)
            for name in names
        ]
        numbers = [_number(Prefix.CUSTOMER, await owner) for owner in owners]
        opened = [
            self._desk.send(
                OpenAccount(number, _EURO, product, Nature.CREDIT, 0, 0),
                key=f"{name}:account",
                at=self._day.opens_at,
            )
            for name, number in zip(names, numbers, strict=True)
        ]
        return [_number(Prefix.ACCOUNT, await account) for account in opened]

    async def _born(self, command: Command, key: str) -> None:
        _check(await self._desk.send(command, key=key, at=self._day.opens_at))

    def _credits(
        self, mandate: Mandate, name: str, amounts: list[tuple[Person, int]]
    ) -> Iterator[tuple[str, PostJournal]]:
        moves = [
            Movement(TransferKind.POST, amount, _EURO, debit=0, credit=self._people[person.number])
            for person, amount in amounts
            if amount
        ]
        for part in range(0, len(moves), _MOVEMENTS):
            key = f"{self._day.name}:{name}:{part}"
            yield key, PostJournal(mandate, tuple(moves[part : part + _MOVEMENTS]), key)

    # ---- during the day

    def _acts(self, planned: tuple[Step, ...], name: str) -> Iterator[_Act]:
        for index, step in enumerate(planned):
            key = f"{self._day.name}:{name}:{index}"
            if isinstance(step, Salaries):
                salaries = [(person, person.salary) for person in self._day.world.people]
                for _, journal in self._credits(Mandate.FUNDING, "salaries", salaries):
                    yield self._act(step.at, None, journal)
            elif isinstance(step, CardUse):
                yield self._act(step.at, _Payment(step, key), self._card(step))
            else:
                yield self._act(step.at, _Payment(step, key), self._remittance(step))

    def _act(self, at: int, payment: _Payment | None, command: Command) -> _Act:
        self._count += 1
        return at, self._count, payment, command

    async def _do(self, window: list[_Act]) -> None:
        futures = [
            self._desk.send(command, key=self._key(payment, command), at=at)
            for at, _, payment, command in window
        ]
        for (at, _, payment, command), future in zip(window, futures, strict=True):
            answer = await future
            if answer.status >= _FAULT:
                _check(answer)
            if payment is not None:
                self._follow(payment, at=at, command=command, answer=answer)

    def _key(self, payment: _Payment | None, command: Command) -> str:
        if payment is None:
            assert isinstance(command, PostJournal), "only salaries belong to no payment"
            return command.reference
        return f"{payment.key}:{payment.deeds}"

    def _follow(self, payment: _Payment, *, at: int, command: Command, answer: Answer) -> None:
        """Note an answer, and plan what is done next about the payment."""
        body = _decode(answer.body) if answer.status < _PROBLEM else _Body()
        if payment.deeds == 0:
            decision = 0
            if body.id:
                payment.id = ids.parse(Prefix.PAYMENT, body.id)
                decision = ids.parse(Prefix.DECISION, body.decision_id)
            outcome = _STOPPED.get(body.status, ALLOWED)
            self._lived.told.append(Told(payment.id, decision, outcome, payment.step.label))
        else:
            self._lived.deeds[type(command).__name__] += 1
        payment.deeds += 1
        life, wait = payment.step.life, payment.step.life.delay_us
        following: Command | None = None
        match body.status:
            case "challenged" if life.passes_challenge is not None:
                following = AnswerChallenge(payment.id, life.passes_challenge)
            case "held" if life.is_released:
                following = ReleasePayment(payment.id, _REVIEWED)
            case "authorised" if life.raise_by and not payment.is_raised:
                payment.is_raised = True
                following = RaiseAuthorisation(payment.id, life.raise_by)
            case "authorised" if life.captures:
                wait = _AFTER_RAISE_US if payment.is_raised else wait
                following = Capture(payment.id, body.amount_minor, final=True)
            case "authorised":
                following = Reverse(payment.id, 0)
            case _:
                pass
        if following is not None:
            heapq.heappush(self._due, self._act(at + wait, payment, following))

    async def _learn_tokens(self, planned: tuple[Step, ...]) -> None:
        """Have tokens made of everything that the steps name."""
        named: dict[tuple[str, str], None] = {}
        for step in planned:
            match step:
                case CardUse():
                    named |= dict.fromkeys((self._card_of(step), self._shop_of(step)))
                    named |= dict.fromkeys(self._place_of(step))
                case Remittance():
                    named |= dict.fromkeys(self._place_of(step))
                case _:
                    pass
        wanted = [one for one in named if one not in self._tokens]
        made = await self._desk.tokens(wanted)
        self._tokens.update(zip(wanted, made, strict=True))

    def _card_of(self, use: CardUse) -> tuple[str, str]:
        return "card", f"{self._day.name}:card-{use.person}"

    def _shop_of(self, use: CardUse) -> tuple[str, str]:
        return "merchant", f"{self._day.name}:shop-{use.shop}"

    @staticmethod
    def _place_of(step: CardUse | Remittance) -> list[tuple[str, str]]:
        found = (("device", step.device), ("ip", step.ip))
        return [(kind, value) for kind, value in found if value is not None]

    def _card(self, use: CardUse) -> AuthoriseCard:
        shop, place, tokens = self._day.world.shops[use.shop], use.place, self._tokens
        return AuthoriseCard(
            account=self._people[use.person],
            amount=use.amount,
            currency=_EURO,
            card=tokens[self._card_of(use)],
            merchant=tokens[self._shop_of(use)],
            merchant_account=self._shops[use.shop],
            device=None if use.device is None else tokens["device", use.device],
            ip=None if use.ip is None else tokens["ip", use.ip],
            mcc=shop.mcc,
            country=_ITALY,
            latitude_e4=None if place is None else place.latitude_e4,
            longitude_e4=None if place is None else place.longitude_e4,
            channel=use.channel,
            capture=use.at_once,
            expires_in_s=0,
            occurred_at=use.at,
        )

    def _remittance(self, sent: Remittance) -> Pay:
        return Pay(
            debit=self._people[sent.person],
            credit=self._people[sent.payee],
            amount=sent.amount,
            currency=_EURO,
            device=self._tokens["device", sent.device],
            ip=self._tokens["ip", sent.ip],
            country=_ITALY,
            latitude_e4=None,
            longitude_e4=None,
            channel=sent.channel,
            occurred_at=sent.at,
        )


def _number(prefix: Prefix, answer: Answer) -> int:
    _check(answer)
    return ids.parse(prefix, _decode(answer.body).id)


def _check(answer: Answer) -> None:
    if answer.status < _PROBLEM:
        return
    problem = _decode_problem(answer.body)
    if problem.code == ClockIsLive.code:
        message = "somebody has acted in this bank today: its time is ours, and not the day's"
        raise DayOutOfTime(message)
    message = f"the day met a problem: {problem.code}, {problem.detail}"
    raise ReplayStopped(message)
