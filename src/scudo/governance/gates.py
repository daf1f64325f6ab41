"""The gate port: what rooms below the decisions ask before a sensitive act.

Bootstrap fills it with the gates of the decisions room. Unfilled, it refuses.
"""

from enum import IntEnum
from typing import Protocol

import msgspec

from scudo.fabric import Entry
from scudo.governance.errors import GateShut


class Passage(IntEnum):
    """What somebody is about to do that is not a payment; numbers are the gates'."""

    ONBOARDING = 11
    LOG_IN = 12
    NEW_DEVICE = 13
    BENEFICIARY = 14
    RECOVERY = 15
    LIMIT_CHANGE = 16
    OPERATOR_ACT = 17
    #: Refused whatever the gate answers; it is asked so that what follows is judged by it.
    FAILED_PROOF = 18
    SESSION_ACT = 19


class Ruling(IntEnum):
    """What a gate answers, as the decisions room counts its outcomes."""

    ALLOW = 0
    REVIEW = 1
    HOLD = 2
    STEP_UP = 3
    DECLINE = 4
    BLOCK = 5


class Asked(msgspec.Struct, frozen=True, gc=False):
    """Who is about to pass, and from where; tokens, no personal data.

    Attributes:
        customer: number of the customer; of the operator for `OPERATOR_ACT`.
        device, network: keyed tokens; None: not known.
        country: ISO 3166-1 number.
        occurred_at: microseconds; a claim of the sender.
        act: at `SESSION_ACT`, what is about to be done, by the asking room's own count.
        session: number of the session that it is done in.
    """

    passage: Passage
    customer: int
    device: int | None = None
    network: int | None = None
    country: int | None = None
    occurred_at: int | None = None
    act: int | None = None
    session: int | None = None


class Gates(Protocol):
    """Decides, inside the entry that the act belongs to."""

    def pass_through(
        self, entry: Entry, asked: Asked, *, discharged: frozenset[Ruling] = frozenset()
    ) -> tuple[int, Ruling]:
        """Ask the gate; the decision and its event belong to the entry.

        Args:
            entry: of the act.
            asked: who is about to do what.
            discharged: obligations that were met (a step-up that was passed).

        Returns:
            the decision's id, and the ruling.
        """


class Shut:
    """The port as long as nobody has filled it."""

    def pass_through(
        self, entry: Entry, asked: Asked, *, discharged: frozenset[Ruling] = frozenset()
    ) -> tuple[int, Ruling]:
        """Refuse.

        Raises:
            GateShut: always.
        """
        del entry, discharged
        message = f"no gate decides on {asked.passage.name.lower()}"
        raise GateShut(message)
