"""What may be asked of payments, in canonical form."""

from scudo.decisions import Channel
from scudo.fabric import Command


class AuthoriseCard(Command, frozen=True, tag=401):
    """Authorise a card payment of an account; `capture` also posts it at once.

    Attributes:
        card, device, ip, merchant: tokens; None where the network did not say.
        merchant_account: of a merchant of ours; 0 stands for the card settlement account.
        expires_in_s: how long the authorisation holds the money; 0 is the default.
        occurred_at: what the sender says, microseconds; moves no window.
    """

    account: int
    amount: int
    currency: int
    card: int | None
    merchant: int | None
    merchant_account: int
    device: int | None
    ip: int | None
    mcc: int | None
    country: int | None
    latitude_e4: int | None
    longitude_e4: int | None
    channel: Channel | None
    capture: bool
    expires_in_s: int
    occurred_at: int | None


class Pay(Command, frozen=True, tag=402):
    """Pay from one account to another, at once."""

    debit: int
    credit: int
    amount: int
    currency: int
    device: int | None
    ip: int | None
    country: int | None
    latitude_e4: int | None
    longitude_e4: int | None
    channel: Channel | None
    occurred_at: int | None


class PayWithText(Pay, frozen=True, tag=411):
    """Pay from one account to another and send a text along, which the vault keeps.

    A command of its own, so that payments without a text stand in the log as they always did.

    Attributes:
        text: its claim; the same for the same request with the same text.
        text_signals: bits of the vault's `TextSignal`, all that rules know of it.
    """

    text: int
    text_signals: int


class Capture(Command, frozen=True, tag=403):
    """Post part or all of an authorisation; `final` releases the rest."""

    payment: int
    amount: int
    final: bool


class Reverse(Command, frozen=True, tag=404):
    """Take back an authorisation, or a part of what is not captured (amount 0: all)."""

    payment: int
    amount: int


class RaiseAuthorisation(Command, frozen=True, tag=405):
    """Authorise more on a card payment."""

    payment: int
    amount: int


class ReleasePayment(Command, frozen=True, tag=406):
    """Let a held payment go on; its gate decides again."""

    payment: int
    reason_code: str


class CancelPayment(Command, frozen=True, tag=407):
    """End a payment that waits."""

    payment: int


class AnswerChallenge(Command, frozen=True, tag=408):
    """Say whether the customer passed the challenge of a payment; the client vouches for it."""

    payment: int
    has_passed: bool


class ConfirmPayment(Command, frozen=True, tag=410):
    """Let a challenged payment go on; the customer proves it by a step-up for exactly it."""

    payment: int
    step_up: int


class RefundPayment(Command, frozen=True, tag=441):
    """Let money of a payment go back from its payee to who paid it, as a payment of its own."""

    payment: int
    amount: int
    reason_code: str


class ExpirePayment(Command, frozen=True, tag=409):
    """End a payment whose time has passed."""

    payment: int


#: Commands on a payment that exists.
ON_PAYMENT = (
    Capture,
    Reverse,
    RaiseAuthorisation,
    ReleasePayment,
    CancelPayment,
    AnswerChallenge,
    ConfirmPayment,
    RefundPayment,
    ExpirePayment,
)
