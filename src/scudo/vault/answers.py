"""What the vault says: answers, and the facts of reads. None of them shows what it holds."""

from typing import Annotated

import msgspec
from msgspec import Meta

Number = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
#: Who asks and why, in codes that may stand in a log: never a name or a sentence.
Code = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.:/-]{0,63}\Z")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,32}\Z")]
Value = Annotated[str, Meta(min_length=1, max_length=2_000)]


class Quiet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message that does not show what it holds."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Why(Quiet, frozen=True):
    """What a read is for.

    Attributes:
        purpose: one of `model.PURPOSES`.
        actor: who reads: an operator, a client, a part of the bank.
        reason: such as the number of a case.
        correlation: of the payment, case or request that it belongs to.
    """

    purpose: Name
    actor: Code
    reason: Code
    correlation: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] = 0


class Fact(Quiet, frozen=True):
    """One read as the audit log should keep it; never the value.

    Attributes:
        at: microseconds since 1970.
        operation: `read`, `find`, `show_card`, `read_card`.
        subject: person or card, as `subject_kind` says; 0 if none was found.
        result: `given`, `absent`, or the code of the refusal.
    """

    at: int
    operation: str
    subject_kind: str
    subject: int
    field: str
    purpose: str
    actor: str
    reason: str
    correlation: int
    result: str


class Answer(Quiet, frozen=True, tag=True):
    """What the vault says."""


class Refused(Answer, frozen=True, tag=True):
    """No, and why; with the facts of what was asked."""

    code: str
    message: str
    field: str | None = None
    facts: tuple[Fact, ...] = ()


class Done(Answer, frozen=True, tag=True):
    """Yes."""


class StatusShown(Answer, frozen=True, tag=True):
    """How the vault is.

    Attributes:
        state: `new` without a root, `sealed`, or `open`.
        is_development: the root lies in a file: nobody's data belongs into such a vault.
        shares_entered, shares_needed: of an unsealing under way.
        unit: number of the unit key that new keys are wrapped by; 0 while sealed.
        keys_left: that are still wrapped by older unit keys.
        token_version: of new tokens.
        root: id of the root, in hex; empty without one.
        root_approval: number of the approval by which it took the place of another; 0: none.
        signing: id of the key that signs, by algorithm.
        cached_keys: person keys in memory.
        refused: how many reads went beyond the quota of each purpose.
        user: operating-system user of the process.
        search: number of the key that values are hashed under for look-up; 0 while sealed.
        hashes_left: look-ups that are still hashed under older keys.
        root_kind: what opens the vault: `shared`, `development` or `hsm`.
        hsm: URI of the token that has the root; empty if none has.
        turned_away: connections of the network that were not taken or were ended, by cause.
    """

    state: str
    is_development: bool
    shares_entered: int
    shares_needed: int
    unit: int
    keys_left: int
    token_version: int
    root: str
    signing: dict[str, str]
    cached_keys: int
    refused: dict[str, int]
    user: int
    search: int = 0
    hashes_left: int = 0
    root_kind: str = ""
    root_approval: int = 0
    hsm: str = ""
    turned_away: dict[str, int] = {}


class Tokens(Answer, frozen=True, tag=True):
    """Tokens in the order of the values, and the version of their key."""

    version: int
    tokens: tuple[int, ...]


class Signature(Answer, frozen=True, tag=True):
    """A signature and the key that made it."""

    algorithm: str
    key_id: str
    signature: bytes


class SigningKey(Quiet, frozen=True):
    """A public key."""

    algorithm: str
    key_id: str
    public: bytes
    is_active: bool


class SigningKeys(Answer, frozen=True, tag=True):
    """Every public key, oldest first."""

    keys: tuple[SigningKey, ...]


class PersonPut(Answer, frozen=True, tag=True):
    """Tokens of the fields by which events know a person, and what rules may know of them.

    Attributes:
        token_version: of the key of the tokens.
        age_band: years of age, as `18-24`; None if no date of birth was put.
    """

    tokens: dict[str, int]
    token_version: int
    age_band: str | None = None


class FieldsRead(Answer, frozen=True, tag=True):
    """Values of the fields that there are, and a fact for each that was asked for."""

    values: dict[str, str]
    facts: tuple[Fact, ...]


class PersonsFound(Answer, frozen=True, tag=True):
    """Persons with this value or token, at most a hundred."""

    persons: tuple[int, ...]
    facts: tuple[Fact, ...]


class Erased(Answer, frozen=True, tag=True):
    """A person is erased.

    Attributes:
        at: microseconds since 1970.
        was_known: whether anything was there.
        destroyed: how many keys, fields, look-ups, links of tokens, cards, and texts.
    """

    at: int
    was_known: bool
    destroyed: dict[str, int] = {}


class TextKept(Quiet, frozen=True):
    """What may be known of a text.

    Attributes:
        claim: 63 bits; leads to the text through the vault alone.
        signals: bits of `TextSignal`.
        is_kept: whether the vault keeps it; a sealed one keeps none.
    """

    claim: int
    signals: int
    is_kept: bool


class TextsKept(Answer, frozen=True, tag=True):
    """What may be known of texts, in their order, and the tokens that were asked for with them."""

    texts: tuple[TextKept, ...]
    tokens: tuple[int, ...]


class TextRead(Answer, frozen=True, tag=True):
    """A text, and the fact that it was read."""

    text: str
    facts: tuple[Fact, ...]


class CardPut(Answer, frozen=True, tag=True):
    """A card's reference and its token."""

    card: int
    token: int
    token_version: int


class CardShown(Answer, frozen=True, tag=True):
    """As much of a card as a person may see."""

    first_six: str
    last_four: str
    facts: tuple[Fact, ...]


class CardRead(Answer, frozen=True, tag=True):
    """A card as the network needs it."""

    number: str
    expiry: str
    facts: tuple[Fact, ...]


class CardFound(Answer, frozen=True, tag=True):
    """The reference of the card with a number; none if it is not known."""

    card: int | None
    facts: tuple[Fact, ...]


class CardLine(Quiet, frozen=True):
    """As much of one of a person's cards as a person may see."""

    card: int
    first_six: str
    last_four: str


class CardsListed(Answer, frozen=True, tag=True):
    """A person's cards, oldest first."""

    cards: tuple[CardLine, ...]
    facts: tuple[Fact, ...]


class Forgotten(Answer, frozen=True, tag=True):
    """So many went."""

    count: int


class Tally(Quiet, frozen=True):
    """How many there are, since when (microseconds since 1970; 0: none), due, and held."""

    kept: int
    oldest_at: int
    due: int
    held: int


class Kept(Answer, frozen=True, tag=True):
    """What the vault keeps: persons, records of reads, and cards."""

    persons: int
    reads: Tally
    cards: Tally


class RootPrepared(Answer, frozen=True, tag=True):
    """The shares of a root that is not yet in use; none in development mode or in a token.

    Attributes:
        hsm: URI of the token that it was made in.
    """

    shares: tuple[str, ...]
    threshold: int
    hsm: str = ""


class UnsealProgress(Answer, frozen=True, tag=True):
    """How many shares are entered and needed; open when it is enough."""

    entered: int
    needed: int
    is_open: bool


class UnitRotated(Answer, frozen=True, tag=True):
    """Number of the new unit key."""

    unit: int


class SearchRotated(Answer, frozen=True, tag=True):
    """Number of the new search key."""

    search: int


class CallbackMatched(Answer, frozen=True, tag=True):
    """Whether one of the signatures was made with one of the shared secrets."""

    matches: bool


class CallbackSecret(Answer, frozen=True, tag=True):
    """A shared secret, for its other owner."""

    secret: bytes


class Swept(Answer, frozen=True, tag=True):
    """Keys that were wrapped anew, and those that wait."""

    moved: int
    left: int
