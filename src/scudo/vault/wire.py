"""What is said over the vault's socket: frames, requests and answers.

A frame is its length (four bytes, big-endian) and as many bytes of MessagePack. A request is
an `Asked` with a number of the caller's choice; the answer carries the same number, so that
many may be under way. None of these values shows what it holds: a repr is the class's name.
"""

import struct
from typing import Annotated, ClassVar, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from scudo.vault.answers import (
    CallbackMatched,
    CallbackSecret,
    CardFound,
    CardPut,
    CardRead,
    CardShown,
    CardsListed,
    Code,
    Done,
    Erased,
    FieldsRead,
    Forgotten,
    Kept,
    Name,
    Number,
    PersonPut,
    PersonsFound,
    Quiet,
    Refused,
    RootPrepared,
    SearchRotated,
    Signature,
    SigningKeys,
    StatusShown,
    Swept,
    TextRead,
    TextsKept,
    Tokens,
    UnitRotated,
    UnsealProgress,
    Value,
    Why,
)

FRAME_BYTES_MAX: Final = 256 * 1024
LENGTH: Final = struct.Struct(">I")
SIGNED_BYTES_MAX: Final = 64 * 1024
#: A body as large as the HTTP interface takes one, and what is signed before it.
CALLBACK_BYTES_MAX: Final = 128 * 1024
#: In one message: with the longest texts and values it fits its frame.
TEXTS_MAX: Final = 64
TEXT_CHARACTERS_MAX: Final = 140

A = TypeVar("A")

Pin = Annotated[str, Meta(min_length=1, max_length=255)]


class Request(Quiet, Generic[A], frozen=True, tag=True):
    """A request that is answered by an `A`, or refused.

    Attributes:
        is_for_keepers: only keepers of the vault may send it.
        is_repeatable: a client sends it again by itself when the connection was lost.
    """

    is_for_keepers: ClassVar[bool] = False
    is_repeatable: ClassVar[bool] = True


class Status(Request[StatusShown], frozen=True, tag=True):
    """How is the vault?"""


class Tokenise(Request[Tokens], frozen=True, tag=True):
    """Turn values into keyed tokens; also while sealed. Version 0 is the newest key."""

    kind: Name
    values: Annotated[tuple[Value, ...], Meta(min_length=1, max_length=1_000)]
    version: Annotated[int, Meta(ge=0)] = 0


class TokeniseAll(Request[Tokens], frozen=True, tag=True):
    """Turn values of several kinds into keyed tokens of the newest key; also while sealed.

    Attributes:
        named: values of each kind; the tokens come in the order in which they stand here.
    """

    named: Annotated[
        dict[Name, Annotated[tuple[Value, ...], Meta(min_length=1, max_length=1_000)]],
        Meta(min_length=1, max_length=16),
    ]


class Sign(Request[Signature], frozen=True, tag=True):
    """Sign bytes; also while sealed. A key that is named must be the one that signs now."""

    algorithm: Name
    data: Annotated[bytes, Meta(max_length=SIGNED_BYTES_MAX)]
    key_id: Annotated[str, Meta(max_length=64)] = ""


class ListSigningKeys(Request[SigningKeys], frozen=True, tag=True):
    """Which keys sign, and which did?"""


class MatchCallback(Request[CallbackMatched], frozen=True, tag=True):
    """Was a callback signed with a shared secret? Also while sealed; says yes or no, no more.

    Attributes:
        callback: its name.
        keys: numbers of the secrets that are good.
        data: what is signed.
        macs: signatures that came with it, HMAC-SHA256.
    """

    callback: Name
    keys: Annotated[tuple[Number, ...], Meta(min_length=1, max_length=32)]
    data: Annotated[bytes, Meta(max_length=CALLBACK_BYTES_MAX)]
    macs: Annotated[
        tuple[Annotated[bytes, Meta(max_length=64)], ...], Meta(min_length=1, max_length=8)
    ]


class ShareCallbackSecret(Request[CallbackSecret], frozen=True, tag=True):
    """The shared secret of a callback's key, to be handed to the sender; also while sealed."""

    callback: Name
    key: Number


class PutPerson(Request[PersonPut], frozen=True, tag=True):
    """Keep fields of a person; those that are named replace what was there."""

    person: Number
    fields: Annotated[dict[str, Value], Meta(min_length=1, max_length=50)]


class LinkToken(Request[Tokens], frozen=True, tag=True):
    """Remember that a value's token is this person's, such as a device; erased with them."""

    person: Number
    kind: Name
    value: Value


class ReadFields(Request[FieldsRead], frozen=True, tag=True):
    """Read fields of a person."""

    person: Number
    fields: Annotated[tuple[str, ...], Meta(min_length=1, max_length=50)]
    why: Why


class FindPerson(Request[PersonsFound], frozen=True, tag=True):
    """Who has this e-mail, phone, …?"""

    kind: Name
    value: Value
    why: Why


class FindToken(Request[PersonsFound], frozen=True, tag=True):
    """Whose is this token?"""

    kind: Name
    token: Number
    why: Why


class ErasePerson(Request[Erased], frozen=True, tag=True):
    """Destroy a person's key, fields, cards, look-ups and links, for ever; also while sealed."""

    person: Number
    actor: Code
    reason: Code
    correlation: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0


class NewText(Quiet, frozen=True):
    """A text that somebody sends with a payment.

    Attributes:
        person: who pays.
        request: digest of what names the request when it comes again.
    """

    person: Number
    request: Annotated[str, Meta(min_length=32, max_length=64)]
    text: Annotated[str, Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)]


class KeepTexts(Request[TextsKept], frozen=True, tag=True):
    """Keep texts of payments, and turn values into tokens; while sealed none is kept.

    Attributes:
        named: kind and value, in the order of the tokens.
    """

    texts: Annotated[tuple[NewText, ...], Meta(min_length=1, max_length=TEXTS_MAX)]
    named: Annotated[tuple[tuple[Name, Value], ...], Meta(max_length=4 * TEXTS_MAX)] = ()


class ReadText(Request[TextRead], frozen=True, tag=True):
    """Read the text of a payment of a person's."""

    person: Number
    claim: Number
    why: Why


class PutCard(Request[CardPut], frozen=True, tag=True):
    """Keep a card; the same number again gives the same card, with the new expiry."""

    number: Annotated[str, Meta(max_length=32)]
    expiry: Annotated[str, Meta(max_length=16)]
    person: Number | None = None


class ShowCard(Request[CardShown], frozen=True, tag=True):
    """Which card is this, for a person's eyes? Only if it is a person's, where one is named."""

    card: Number
    why: Why
    person: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0


class ReadCard(Request[CardRead], frozen=True, tag=True):
    """The full number, for the purpose `network` only."""

    card: Number
    why: Why


class FindCard(Request[CardFound], frozen=True, tag=True):
    """Which card has this number?"""

    number: Annotated[str, Meta(max_length=32)]
    why: Why


class ListCards(Request[CardsListed], frozen=True, tag=True):
    """Which cards has a person, as far as a person may see them?"""

    person: Number
    why: Why


_Moment = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
#: Persons of whom nothing may be forgotten.
_Held = Annotated[tuple[Number, ...], Meta(max_length=10_000)]
_Batch = Annotated[int, Meta(ge=1, le=10_000)]


class ForgetReads(Request[Forgotten], frozen=True, tag=True):
    """Delete some records of reads from before a time (microseconds since 1970)."""

    before: _Moment
    held: _Held
    most: _Batch


class ForgetCards(Request[Forgotten], frozen=True, tag=True):
    """Delete some cards that had expired before a time (microseconds since 1970)."""

    before: _Moment
    held: _Held
    most: _Batch


class CountKept(Request[Kept], frozen=True, tag=True):
    """How much is kept, and how much of it is due, by these times?"""

    reads_before: _Moment
    cards_before: _Moment
    held: _Held


class _Keepers(Request[A], Generic[A], frozen=True, tag=True):
    is_for_keepers: ClassVar[bool] = True
    is_repeatable: ClassVar[bool] = False


class PrepareRoot(_Keepers[RootPrepared], frozen=True, tag=True):
    """Make a new root, not yet in use, and say its shares; once.

    Attributes:
        approval: number of the approval by which it takes the place of another; 0: none.
    """

    shares: int
    threshold: int
    approval: int = 0


class PrepareDevelopmentRoot(_Keepers[RootPrepared], frozen=True, tag=True):
    """Make a new root that will lie in a file, for development only."""


class PrepareHsmRoot(_Keepers[RootPrepared], frozen=True, tag=True):
    """Make a new root in a PKCS#11 token, not yet in use.

    Attributes:
        uri: of the token (RFC 7512), without PIN.
        pin: of the token's user.
        approval: as for a root in shares.
    """

    uri: Annotated[str, Meta(max_length=1_000)]
    pin: Pin
    approval: int = 0


class CommitRoot(_Keepers[Done], frozen=True, tag=True):
    """Use the prepared root from now on: every unit key is wrapped by it, at once."""


class RotateUnit(_Keepers[UnitRotated], frozen=True, tag=True):
    """Make a new unit key; older ones retire as their person keys are wrapped anew."""


class RotateSearch(_Keepers[SearchRotated], frozen=True, tag=True):
    """Make a new key of look-ups; what is kept is hashed anew by and by."""


class Sweep(_Keepers[Swept], frozen=True, tag=True):
    """Wrap so many keys anew."""

    limit: Annotated[int, Meta(ge=1, le=10_000)]


class RotateOperational(_Keepers[Done], frozen=True, tag=True):
    """Make a new operational key.

    Attributes:
        which: the key of tokens (`token`), an algorithm that signs, or the key in the PKCS#11
            token that seals all of them (`seal`).
    """

    which: Name


class Unseal(_Keepers[UnsealProgress], frozen=True, tag=True):
    """Enter one share."""

    share: Annotated[str, Meta(max_length=1_000)]
    keeper: Code


class UnsealByPin(_Keepers[UnsealProgress], frozen=True, tag=True):
    """Enter the PIN of the token that has the root; also where it was away meanwhile."""

    pin: Pin


class Seal(_Keepers[Done], frozen=True, tag=True):
    """Forget the root and every key below it."""


AnyRequest = (
    Status
    | Tokenise
    | TokeniseAll
    | Sign
    | ListSigningKeys
    | MatchCallback
    | ShareCallbackSecret
    | PutPerson
    | LinkToken
    | ReadFields
    | FindPerson
    | FindToken
    | ErasePerson
    | KeepTexts
    | ReadText
    | PutCard
    | ShowCard
    | ReadCard
    | FindCard
    | ListCards
    | ForgetReads
    | ForgetCards
    | CountKept
    | PrepareRoot
    | PrepareDevelopmentRoot
    | PrepareHsmRoot
    | CommitRoot
    | RotateUnit
    | RotateSearch
    | Sweep
    | RotateOperational
    | Unseal
    | UnsealByPin
    | Seal
)
AnyAnswer = (
    Refused
    | Done
    | StatusShown
    | Tokens
    | Signature
    | SigningKeys
    | PersonPut
    | FieldsRead
    | PersonsFound
    | Erased
    | TextsKept
    | TextRead
    | CardPut
    | CardShown
    | CardRead
    | CardFound
    | CardsListed
    | Forgotten
    | Kept
    | RootPrepared
    | UnsealProgress
    | UnitRotated
    | SearchRotated
    | CallbackMatched
    | CallbackSecret
    | Swept
)


class Asked(Quiet, frozen=True):
    """A numbered request, not yet read."""

    number: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    request: msgspec.Raw


class Answered(Quiet, frozen=True):
    """A numbered answer."""

    number: int
    answer: AnyAnswer


class _Sent(Quiet, frozen=True):
    number: int
    request: AnyRequest


_encoder: Final = msgspec.msgpack.Encoder()
_asked: Final = msgspec.msgpack.Decoder(Asked)
_requests: Final[msgspec.msgpack.Decoder[AnyRequest]] = msgspec.msgpack.Decoder(AnyRequest)
_answered: Final = msgspec.msgpack.Decoder(Answered)


def framed(message: Quiet) -> bytes:
    """A message with its length before it."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def frame_request(number: int, request: Request[A]) -> bytes:
    """A request as it is sent."""
    return framed(_Sent(number, request))  # type: ignore[arg-type] # every request is one of AnyRequest


def read_asked(frame: bytes | memoryview) -> Asked:
    """Read who is to be answered.

    Raises:
        msgspec.ValidationError: this is no numbered request.
    """
    return _asked.decode(frame)


def read_request(raw: msgspec.Raw) -> AnyRequest:
    """Read what is asked.

    Raises:
        msgspec.ValidationError: this is no request of ours.
    """
    return _requests.decode(raw)


def read_answered(frame: bytes | memoryview) -> Answered:
    """Read an answer.

    Raises:
        msgspec.ValidationError: this is no answer of ours.
    """
    return _answered.decode(frame)
