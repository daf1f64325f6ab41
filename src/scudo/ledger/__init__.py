"""Accounts, transfers, holds and balances: double entry by construction."""

from scudo.ledger import errors, events, queries, routes
from scudo.ledger.book import TRANSFER, Book
from scudo.ledger.commands import (
    CloseAccount,
    ExpireHold,
    Ledger,
    Movement,
    OpenAccount,
    PostBulk,
    PostJournal,
)
from scudo.ledger.mandating import MandateChanges
from scudo.ledger.model import (
    Account,
    AccountStatus,
    Authority,
    AuthorityKind,
    Hold,
    HoldStatus,
    Mandate,
    Nature,
    Product,
    TransferKind,
)
from scudo.ledger.sheets import Move
from scudo.ledger.store import LedgerStore
from scudo.ledger.verification import TRANSFERS, LedgerWitness

__all__ = [
    "TRANSFER",
    "TRANSFERS",
    "Account",
    "AccountStatus",
    "Authority",
    "AuthorityKind",
    "Book",
    "CloseAccount",
    "ExpireHold",
    "Hold",
    "HoldStatus",
    "Ledger",
    "LedgerStore",
    "LedgerWitness",
    "Mandate",
    "MandateChanges",
    "Move",
    "Movement",
    "Nature",
    "OpenAccount",
    "PostBulk",
    "PostJournal",
    "Product",
    "TransferKind",
    "errors",
    "events",
    "queries",
    "routes",
]
