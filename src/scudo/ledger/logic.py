"""What may be moved: the ledger's checks, pure, in their order of precedence."""

from scudo.kernel import MINOR_MAX
from scudo.ledger.errors import (
    AccountClosed,
    BalanceOutOfRange,
    CurrencyMismatch,
    HoldEnded,
    HoldExpired,
    InsufficientFunds,
    SameAccount,
)
from scudo.ledger.model import Account, AccountStatus, Hold, HoldStatus, Nature


def check_sides(debit: Account, credit: Account) -> None:
    """Movements go between two open accounts of one currency.

    Raises:
        SameAccount: if they are one.
        AccountClosed: if one of them takes no movements.
        CurrencyMismatch: if they are of two currencies.
    """
    if debit is credit:
        message = "debit and credit are the same account"
        raise SameAccount(message, field="credit_account_id")
    if debit.status != AccountStatus.OPEN or credit.status != AccountStatus.OPEN:
        side = "debit" if debit.status != AccountStatus.OPEN else "credit"
        message = f"the {side} account is closed"
        raise AccountClosed(message, field=f"{side}_account_id")
    if debit.currency != credit.currency:
        message = "the two accounts are of different currencies"
        raise CurrencyMismatch(message, field="currency")


def check_room(debit: Account, credit: Account, amount: int) -> None:
    """Totals never go down, so one check of their growth keeps them within 64 bits.

    Raises:
        BalanceOutOfRange: if one would not fit.
    """
    if (
        debit.debits_posted + debit.debits_held + amount > MINOR_MAX
        or credit.credits_posted + credit.credits_held + amount > MINOR_MAX
    ):
        message = "a total of the account would not fit 64 bits"
        raise BalanceOutOfRange(message, field="amount_minor")


def check_limit(
    debit: Account, credit: Account, amount: int, debit_limit: int | None, credit_limit: int | None
) -> None:
    """The side that shrinks must stay above its limit; None is without limit.

    Raises:
        InsufficientFunds: if it would not.
    """
    if (
        debit.nature == Nature.CREDIT
        and debit_limit is not None
        and debit.credits_posted - debit.debits_posted - debit.debits_held + debit_limit < amount
    ):
        message = "the available balance does not cover the amount"
        raise InsufficientFunds(message, field="amount_minor")
    if (
        credit.nature == Nature.DEBIT
        and credit_limit is not None
        and credit.debits_posted - credit.credits_posted - credit.credits_held + credit_limit
        < amount
    ):
        message = "the credited account would shrink below its limit"
        raise InsufficientFunds(message, field="amount_minor")


def check_open(hold: Hold, now: int) -> None:
    """A hold is acted on while it is open, and only before its time has passed.

    Raises:
        HoldExpired: if its time has passed.
        HoldEnded: if it was captured or released.
    """
    if hold.status == HoldStatus.EXPIRED or (
        hold.status == HoldStatus.OPEN and hold.expires_at <= now
    ):
        message = "the hold has expired"
        raise HoldExpired(message)
    if hold.status != HoldStatus.OPEN:
        message = "the hold has ended"
        raise HoldEnded(message)
