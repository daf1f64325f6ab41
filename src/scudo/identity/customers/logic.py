"""Pure decisions about customers' proofs: what is well formed, what is too weak, what must wait.

Source:
    TOTP: RFC 6238 (SHA-1, 30 s, six digits; one step either way for the network's delay,
    section 5.2). An e-mail address: the addr-spec of RFC 5322 as web forms read it, ASCII
    only. Dynamic linking (the proof is bound to amount and payee): Commission Delegated
    Regulation (EU) 2018/389, article 5.
"""

import hashlib
import re
import struct
from enum import IntEnum
from itertools import pairwise
from typing import Final

import msgspec

from scudo.identity.customers.errors import AddressMalformed, PasswordTooWeak
from scudo.identity.customers.model import Act, Assurance, Session, Terms
from scudo.identity.weak_passwords import is_about_the_bank, is_common
from scudo.kernel import SECOND_US, ids

_ADDRESS: Final = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+",
    re.ASCII,
)
_ADDRESS_MAX: Final = 254
_PASSWORD_MIN: Final = 12
_PASSWORD_MAX: Final = 128
#: A password of fewer different characters is a repetition, whatever its length.
_DIFFERENT_MIN: Final = 5
_STEP_S: Final = 30
_DETAILS: Final = struct.Struct(">BqqqH")


def first_63(digest: bytes) -> int:
    """The number under which a record is found by a digest: 63 bits, never zero."""
    return int.from_bytes(digest[:8], "big") & ids.ID_MAX or 1


def number_of(data: bytes) -> int:
    """The number under which a record is found by what is hashed."""
    return first_63(hashlib.sha256(data).digest())


def device_number(customer: int, thumbprint: str) -> int:
    """The number of a customer's device: of two customers on one device, each has an own."""
    return number_of(f"device\x00{customer}\x00{thumbprint}".encode())


def read_address(text: str) -> str:
    """Write an e-mail address in the one way in which it is hashed and sent to.

    Raises:
        AddressMalformed: if mail cannot be sent to it.
    """
    address = text.strip().lower()
    if len(address) > _ADDRESS_MAX or not _ADDRESS.fullmatch(address):
        message = "this is not an e-mail address"
        raise AddressMalformed(message, field="email")
    return address


def demand_strong(password: str, *, address: str | None) -> None:
    """Look whether a password is long enough, and not one that guessers try first.

    Raises:
        PasswordTooWeak: if it is one of 12 to 128 characters no longer, holds the address or
            is its name, repeats few characters, counts up or down, is one that many people
            had, or says little more than words of this bank.
    """
    message = None
    folded = password.casefold()
    local = (address or "").partition("@")[0]
    steps = {ord(b) - ord(a) for a, b in pairwise(folded)}
    if not _PASSWORD_MIN <= len(password) <= _PASSWORD_MAX:
        message = f"a password has {_PASSWORD_MIN} to {_PASSWORD_MAX} characters"
    elif address and (address in folded or folded in address):
        message = "the password is the address"
    elif local and folded.replace(local, "").strip("0123456789!.-_ ") == "":
        message = "the password is the address's name with little added"
    elif len(set(folded)) < _DIFFERENT_MIN or _is_repeated(folded):
        message = "the password repeats itself"
    elif steps in ({1}, {-1}):
        message = "the password counts up or down"
    elif is_common(password):
        message = "many people had this password, and it was stolen from some of them"
    elif is_about_the_bank(password):
        message = "the password says little more than words of this bank"
    if message is not None:
        raise PasswordTooWeak(message, field="password")


def _is_repeated(text: str) -> bool:
    """Whether a text is one shorter text, over and over (a doubled text is found in its middle)."""
    return (text + text).find(text, 1) < len(text)


def totp_steps(now: int) -> range:
    """The 30-second steps whose codes may come in at `now`: one early, one late."""
    step = now // (_STEP_S * SECOND_US)
    return range(step - 1, step + 2)


def seconds_of(step: int) -> int:
    """When a 30-second step begins, seconds since 1970."""
    return step * _STEP_S


def act_digest(
    act: Act, *, number: int = 0, amount: int = 0, currency: int = 0, to: int = 0
) -> bytes:
    """Hash the canonical details of an act, which its step-up is good for.

    Args:
        act: which kind.
        number: of the payment.
        amount: minor units.
        currency: ISO 4217 number.
        to: number of the payee's account.
    """
    return hashlib.sha256(
        b"scudo step-up 1" + _DETAILS.pack(act, number, amount, to, currency)
    ).digest()


def step_up_challenge(number: int, digest: bytes) -> bytes:
    """What a passkey signs to pass a step-up: bound to its random number and the details."""
    return hashlib.sha256(b"scudo challenge 1" + number.to_bytes(8, "big") + digest).digest()


class Verdict(IntEnum):
    """What becomes of a session when something sensitive is about to be done in it."""

    GO_ON = 0
    STEP_UP = 1
    END = 2


class Scene(msgspec.Struct, frozen=True):
    """From where a sensitive act is asked for.

    Attributes:
        thumbprint: of the key that proved the request.
        network: keyed token of where it came from.
        country: where that is said to be; None: nobody knows.
    """

    thumbprint: str
    network: int
    country: int | None = None


def judge_session(session: Session, scene: Scene, *, now: int, terms: Terms) -> Verdict:
    """Judge a session again before a sensitive act, by device, place and age of the proof.

    Another key or a session beyond its life ends it. A proof that is too old for where we are
    now asks for a new one, and so does another country than that of the newest proof.
    """
    age = now - session.proven_at
    moved = scene.network != session.network
    abroad = None not in {scene.country, session.country} and scene.country != session.country
    if session.ended_at or scene.thumbprint != session.thumbprint:
        return Verdict.END
    if now - session.began_at > terms.session_us:
        return Verdict.END
    if session.assurance == Assurance.MAIL or abroad:
        return Verdict.STEP_UP
    return (
        Verdict.STEP_UP
        if age > (terms.elsewhere_us if moved else terms.proof_us)
        else Verdict.GO_ON
    )


def has_stepped_up(session: Session, *, now: int, terms: Terms) -> bool:
    """Whether a proof was given in a session lately, beside the one that it began by."""
    return session.proven_at > session.began_at and is_fresh(session, now=now, terms=terms)


def is_fresh(session: Session, *, now: int, terms: Terms) -> bool:
    """Whether a session's proof is new enough to change credentials."""
    return now - session.proven_at <= terms.fresh_us
