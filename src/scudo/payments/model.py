"""A payment and its life."""

from enum import IntEnum
from typing import Final

from scudo.kernel import SECOND_US

#: A customer has so long to answer a challenge.
CHALLENGE_US: Final = 300 * SECOND_US
#: A person has so long to release a held payment; then the money is available again.
HELD_US: Final = 86_400 * SECOND_US
#: A card authorisation holds the money for so long (the common limit of card schemes).
AUTHORISATION_US: Final = 7 * 86_400 * SECOND_US
#: A capture may exceed the authorisation by so much (tips).
CARD_TOLERANCE_BPS: Final = 1_500


class PaymentKind(IntEnum):
    """What a payment is."""

    CARD = 1
    TRANSFER = 2


class PaymentStatus(IntEnum):
    """Where a payment stands.

    new ─┬─► AUTHORISED ─┬─► CAPTURED, REVERSED, EXPIRED
         ├─► CAPTURED (card, at once) or SETTLED (transfer)
         ├─► HELD ───────┬─► (decided again)
         ├─► CHALLENGED ─┴─► CANCELLED, EXPIRED, DECLINED
         └─► DECLINED, BLOCKED, REFUSED
    """

    AUTHORISED = 1
    CAPTURED = 2
    SETTLED = 3
    HELD = 4
    CHALLENGED = 5
    DECLINED = 6
    BLOCKED = 7
    REFUSED = 8
    REVERSED = 9
    EXPIRED = 10
    CANCELLED = 11


#: In these a payment waits for something and has a time at which it expires.
WAITING: Final = frozenset({PaymentStatus.AUTHORISED, PaymentStatus.HELD, PaymentStatus.CHALLENGED})


class Payment:
    """A payment as memory holds it; changed in place, with an undo.

    Attributes:
        captured: minor units posted so far.
        discharged: obligations of the gate that were met, as a mask of 1 << outcome.
        hold: id of the ledger's hold, None if there is none.
        expires_at: microseconds, while it waits.
        request: the canonical command, while a gate may have to decide again.
        reasons: of the rules that hold it, while it is held.
        text: claim of the text that came with it, None if there was none.
    """

    __slots__ = (
        "amount",
        "captured",
        "credit_account",
        "currency",
        "debit_account",
        "decision",
        "discharged",
        "expires_at",
        "hold",
        "id",
        "kind",
        "ordered_at",
        "outcome",
        "reasons",
        "request",
        "status",
        "stored_version",
        "text",
        "version",
    )

    def __init__(  # noqa: PLR0913 - one parameter per property
        self,
        *,
        id: int,  # noqa: A002 - the field's name everywhere
        kind: int,
        debit_account: int,
        credit_account: int,
        amount: int,
        currency: int,
        ordered_at: int,
        status: int,
        outcome: int,
        decision: int,
        captured: int = 0,
        discharged: int = 0,
        hold: int | None = None,
        expires_at: int | None = None,
        request: bytes | None = None,
        text: int | None = None,
        version: int = 0,
        stored_version: int = -1,
    ) -> None:
        """Make a payment; `stored_version` is -1 until it is in the database."""
        self.id = id
        self.kind = kind
        self.debit_account = debit_account
        self.credit_account = credit_account
        self.amount = amount
        self.currency = currency
        self.ordered_at = ordered_at
        self.status = status
        self.outcome = outcome
        self.decision = decision
        self.captured = captured
        self.discharged = discharged
        self.hold = hold
        self.expires_at = expires_at
        self.request = request
        self.text = text
        self.version = version
        self.stored_version = stored_version
        self.reasons: frozenset[str] = frozenset()

    @property
    def waits_until(self) -> int | None:
        """When it expires, microseconds; None if it waits for nothing."""
        return self.expires_at if self.status in WAITING else None

    def state(self) -> tuple[int, ...]:
        """The numbers that `restore` takes, with `hold` and the others, to come back here."""
        return (
            self.status,
            self.outcome,
            self.decision,
            self.captured,
            self.discharged,
            self.version,
            self.amount,
            self.credit_account,
        )

    def restore(
        self,
        numbers: tuple[int, ...],
        hold: int | None,
        expires_at: int | None,
        request: bytes | None,
    ) -> None:
        """Bring the payment back to where it was."""
        (
            self.status,
            self.outcome,
            self.decision,
            self.captured,
            self.discharged,
            self.version,
            self.amount,
            self.credit_account,
        ) = numbers
        self.hold = hold
        self.expires_at = expires_at
        self.request = request
