"""Values of the decisions room: what a gate is asked, what it answers, what is kept.

All of them are MessagePack arrays on the wire: the order of members is the format,
new members are added at the end and have a default.
"""

from enum import IntEnum
from typing import Final

import msgspec


class Gate(IntEnum):
    """Which gate an event stands before."""

    PAYMENT = 1
    CARD = 2
    # What is not a payment: the numbers of `governance.Passage`.
    ONBOARDING = 11
    LOG_IN = 12
    NEW_DEVICE = 13
    BENEFICIARY = 14
    RECOVERY = 15
    LIMIT_CHANGE = 16
    OPERATOR_ACT = 17
    FAILED_PROOF = 18
    SESSION_ACT = 19


#: Gates that money moves through; the others are passed by persons, and count apart.
PAYMENTS: Final = frozenset({Gate.PAYMENT, Gate.CARD})
PASSAGES: Final = frozenset(Gate) - PAYMENTS


class Channel(IntEnum):
    """How the request reached the bank."""

    APP = 1
    WEB = 2
    PARTNER = 3
    CARD_PRESENT = 4
    CARD_NOT_PRESENT = 5
    BRANCH = 6


class Outcome(IntEnum):
    """What a gate answers; a lattice in which evidence can only raise."""

    ALLOW = 0
    REVIEW = 1
    HOLD = 2
    STEP_UP = 3
    DECLINE = 4
    BLOCK = 5


#: Outcomes that somebody can discharge: a person (review, hold) or the customer (step-up).
OBLIGATIONS: Final = frozenset({Outcome.REVIEW, Outcome.HOLD, Outcome.STEP_UP})

#: Features after which the money does not move. Feature definitions call them `declined`.
REFUSING: Final = frozenset({Outcome.DECLINE, Outcome.BLOCK})


class GateEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a gate is asked about, for every channel. Carries tokens, no personal data.

    Units:
        amount_minor, available_minor: minor units of `currency`.
        currency, country: ISO 4217 and ISO 3166-1 numeric codes.
        mcc: ISO 18245 merchant category code.
        latitude_e4, longitude_e4: ten-thousandths of a degree, WGS 84, to two decimals of a
            degree; what old logs hold is finer.
        text_signals: bits of the vault's `TextSignal`; None: no text came with it.
        listed: which members stand on which list, as `lists.bit_of` says; None: nobody looked.
        account_opened_at, customer_since, occurred_at: microseconds since 1970, UTC.
        hour: of the day, UTC, when it was ordered; at gates of `PASSAGES`.

    Attributes:
        act: what is done at `SESSION_ACT`, as `identity` counts acts.
        session: in which it is done.

    Invariant:
        every number lies strictly between -2**63 and 2**63; tokens are positive.
        `occurred_at` is a claim of the sender and never moves a window.
        At a gate of `PASSAGES` amount, currency and account are 0: there are none;
        `customer` is the operator's number at `OPERATOR_ACT`, and 0 while there is none yet.
    """

    gate: Gate
    amount_minor: int
    currency: int
    customer: int
    account: int
    beneficiary: int | None = None
    card: int | None = None
    device: int | None = None
    ip: int | None = None
    merchant: int | None = None
    mcc: int | None = None
    country: int | None = None
    latitude_e4: int | None = None
    longitude_e4: int | None = None
    channel: Channel | None = None
    available_minor: int | None = None
    account_opened_at: int | None = None
    customer_since: int | None = None
    occurred_at: int | None = None
    text_signals: int | None = None
    act: int | None = None
    session: int | None = None
    hour: int | None = None
    listed: int | None = None


class Degradation(IntEnum):
    """Why a decision was not made with everything that the policy asks for."""

    NONE = 0
    FEATURE_UNKNOWN = 1
    FEATURES_FAILED = 2
    RULES_FAILED = 3


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The answer of a gate, with all that is needed to explain and repeat it.

    Attributes:
        outcome: the highest outcome raised.
        obligations: review, hold and step-up that were raised and not discharged,
            highest first; they stand whatever the outcome is.
        hits: indexes into `Policy.rules`, by declared priority.
        features: one value per `Policy.features`, None for SQL's NULL and for unknown.
        unknown: indexes of features whose value is unknown, not empty.
        discharged: obligations that were taken as met.
        degraded: NONE, or why the gate's posture took part.
        elapsed_ns: time for features, rules, lattice.
    """

    outcome: Outcome
    obligations: tuple[Outcome, ...]
    hits: tuple[int, ...]
    features: tuple[int | None, ...]
    unknown: tuple[int, ...]
    discharged: tuple[Outcome, ...]
    degraded: Degradation
    elapsed_ns: tuple[int, int, int]


class DecisionRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is stored of one decision; sentences and reasons are derived from it.

    Attributes:
        policy: first 16 bytes of the policy's hash.
        ordered_at: microseconds; where the windows ended.
        position: last position of the log that the decision depended on.
        elapsed_us: whole microseconds for features, rules, lattice.
        model: hash of the model that took part, None as long as there is none.
    """

    policy: bytes
    event: GateEvent
    ordered_at: int
    position: int
    outcome: Outcome
    obligations: tuple[Outcome, ...]
    hits: tuple[int, ...]
    features: tuple[int | None, ...]
    unknown: tuple[int, ...]
    discharged: tuple[Outcome, ...]
    degraded: Degradation
    elapsed_us: tuple[int, int, int]
    model: bytes | None = None


def record_of(
    verdict: Verdict, *, event: GateEvent, policy: bytes, ordered_at: int, position: int
) -> DecisionRecord:
    """Put one decision into the form in which it is stored.

    Units:
        ordered_at: microseconds since 1970, the instant that `decide` was given.
        position: last position of the log that was folded into the state.
    """
    features_ns, rules_ns, lattice_ns = verdict.elapsed_ns
    return DecisionRecord(
        policy,
        event,
        ordered_at,
        position,
        verdict.outcome,
        verdict.obligations,
        verdict.hits,
        verdict.features,
        verdict.unknown,
        verdict.discharged,
        verdict.degraded,
        (features_ns // 1000, rules_ns // 1000, lattice_ns // 1000),
    )
