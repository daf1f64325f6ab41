"""A ledger in memory: one book, and a batch whose entries change it."""

from dataclasses import dataclass, field

import pytest

from scudo.fabric import Batch, Entry, Head
from scudo.kernel import GENESIS, SECOND_US
from scudo.ledger import (
    TRANSFER,
    Account,
    Authority,
    Book,
    Hold,
    Mandate,
    Move,
    Nature,
    Product,
)
from scudo.ledger.sheets import read_move

EUR, JPY = 978, 392
NOON = 1_700_000_000 * SECOND_US
FUNDS = Authority.mandate(Mandate.FUNDING)


@dataclass
class Desk:
    """A book with its batch; every act is an entry of its own, one second apart."""

    book: Book = field(default_factory=Book)
    batch: Batch = field(
        default_factory=lambda: Batch(Head(1, 0, NOON, 0, GENESIS, "unset"), recorded_at=NOON)
    )
    now: int = NOON

    def __post_init__(self) -> None:
        # There is no database where a distant deadline could wait.
        self.book.expiries.reach = NOON + 10**18

    def entry(self) -> Entry:
        """Begin an entry; ids are told apart by its position."""
        self.now += SECOND_US
        entry = self.batch.entry(client=1, owner=None, now=self.now, at=None)
        self.batch.position += 10
        self.batch.ordered_at = entry.ordered_at
        return entry

    def account(
        self,
        *,
        owner: int = 1,
        nature: Nature = Nature.CREDIT,
        currency: int = EUR,
        limits: tuple[int | None, int | None] = (0, 0),
        balance: int = 0,
    ) -> Account:
        """Open an account with a balance that the bank paid in."""
        entry = self.entry()
        account = self.book.open(
            entry,
            owner=owner,
            nature=nature,
            currency=currency,
            product=Product.CURRENT,
            hold_limit=limits[0],
            posting_limit=limits[1],
        )
        if balance:
            house = self.book.house_account(self.entry(), Product.FUNDING, currency)
            self.post(house, account, balance)
        return account

    def post(self, debit: Account, credit: Account, amount: int) -> int:
        return self.book.post(
            self.entry(), debit=debit, credit=credit, amount=amount, authority=FUNDS, code=1
        )

    def place(
        self, debit: Account, credit: Account, amount: int, *, tolerance: int = 0, lasts_s: int = 99
    ) -> Hold:
        entry = self.entry()
        return self.book.place(
            entry,
            debit=debit,
            credit=credit,
            amount=amount,
            tolerance_bps=tolerance,
            expires_at=entry.ordered_at + lasts_s * SECOND_US,
            authority=FUNDS,
            code=1,
        )

    @property
    def moves(self) -> list[Move]:
        """Every transfer so far, as it will be stored."""
        return [read_move(image) for image in self.batch.rows.get(TRANSFER, ())]

    def picture(self) -> dict[object, object]:
        """Everything that the book says, and the rows that will be stored."""
        accounts = {
            number: {name: getattr(account, name) for name in Account.__slots__}
            for number, account in self.book.accounts.items()
        }
        holds = {
            number: {name: getattr(hold, name) for name in Hold.__slots__}
            for number, hold in self.book.holds.items()
        }
        rows = {table.name: list(images) for table, images in self.batch.rows.items() if images}
        return {"accounts": accounts, "holds": holds, "house": dict(self.book.house), "rows": rows}


@pytest.fixture
def desk() -> Desk:
    """An empty ledger."""
    return Desk()


@pytest.fixture(scope="session")
def desks() -> type[Desk]:
    """Make an empty ledger for each example of a law."""
    return Desk
