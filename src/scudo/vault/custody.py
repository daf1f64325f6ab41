"""The vault itself: every request to whom it concerns, allowed, counted, and answered."""

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import psycopg
import structlog

from scudo.kernel import Refusal, instant
from scudo.vault import answers, wire
from scudo.vault.callers import CALLBACK, SIGN, TOKENISE, Asker
from scudo.vault.cards import Cards
from scudo.vault.database import Connection, Database
from scudo.vault.erasures import Erasure, Erasures
from scudo.vault.errors import (
    CiphertextBroken,
    VaultDatabaseUnreachable,
    VaultDefect,
    VaultForbidden,
    VaultRefusal,
    VaultUnavailable,
)
from scudo.vault.facts import Subject, facts_of, found_facts, given_facts, subject_of
from scudo.vault.folder import Folder
from scudo.vault.hsm import Hsm
from scudo.vault.keys import KeyCache
from scudo.vault.keystore import KeyStore
from scudo.vault.model import (
    BIRTH_DATE,
    CARD_NUMBER,
    NETWORK,
    PAYMENT_TEXT,
    PURPOSES,
    Clock,
    DataClass,
    age_band,
    demand_field,
    demand_purpose,
    demand_value,
)
from scudo.vault.persons import Persons, Read
from scudo.vault.quotas import Quotas
from scudo.vault.rehashing import Rehashing
from scudo.vault.retention import Ageing
from scudo.vault.ring import Ring
from scudo.vault.root_desk import RootDesk
from scudo.vault.texts.store import Texts, told

_log = structlog.get_logger("scudo.vault")

CACHED_KEYS_MAX: Final = 20_000
CACHED_AGE_US: Final = 60 * 1_000_000
#: What operational keys do for callers in a second. Eight times what the fastest payments need,
#: and far too few to try out all card numbers of an issuer; a notary signs once in seconds.
TOKENS_PER_SECOND: Final = 100_000
SIGNATURES_PER_SECOND: Final = 100
CALLBACKS_PER_SECOND: Final = 1_000
#: An operator makes a key of a callback now and then.
SECRETS_PER_SECOND: Final = 5
_CALLBACK_SECRET: Final = "callback_secret"  # noqa: S105 - a name
#: Texts that are kept: some times what the fastest payments between people bring.
TEXTS_PER_SECOND: Final = 10_000
_KEEP_TEXTS: Final = "keep_texts"
#: Keys that one step of the sweep in the background moves.
SWEPT_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that an installation may choose.

    Attributes:
        cached_keys: person keys in memory at most.
        cached_age_us: how old they become.
        reads_per_second: of each purpose, and of `tokenise`, `sign` and `keep_texts`, in place
            of the usual.
    """

    cached_keys: int = CACHED_KEYS_MAX
    cached_age_us: int = CACHED_AGE_US
    reads_per_second: Mapping[str, int] | None = None


_Handler: TypeAlias = Callable[[Any], Awaitable[answers.Answer]]


class Custody:
    """One vault on one database."""

    def __init__(  # noqa: PLR0913 - one parameter per property
        self,
        database: Database,
        *,
        folder: Folder,
        hsm: Hsm,
        keys: KeyStore,
        erasures: Erasures,
        clock: Clock,
        limits: Limits,
    ) -> None:
        """Put the parts together; `open` connects them to the database."""
        self._database = database
        self._keys = keys
        self._erasures = erasures
        self._clock = clock
        self._cache = KeyCache(size=limits.cached_keys, age_us=limits.cached_age_us)
        #: Connections of the network that were not taken or were ended, by cause.
        self.turned_away: Counter[str] = Counter()
        per_second = {name: one.reads_per_second for name, one in PURPOSES.items()}
        per_second |= {TOKENISE: TOKENS_PER_SECOND, SIGN: SIGNATURES_PER_SECOND}
        per_second |= {CALLBACK: CALLBACKS_PER_SECOND, _CALLBACK_SECRET: SECRETS_PER_SECOND}
        per_second[_KEEP_TEXTS] = TEXTS_PER_SECOND
        self._quotas = Quotas({**per_second, **(limits.reads_per_second or {})})
        self._ring = Ring(database, folder, hsm)
        self._persons = Persons(database, self._ring, keys, cache=self._cache, erasures=erasures)
        self._cards = Cards(database, self._ring, self._persons)
        self._rehashing = Rehashing(database, self._ring)
        self._ageing = Ageing(database)
        self._texts = Texts(database, self._ring, keys, self._persons)
        database.attend_with(self._attend)
        self._handlers: dict[type, _Handler] = {
            wire.Status: self._status,
            wire.Tokenise: self._tokenise,
            wire.TokeniseAll: self._tokenise_all,
            wire.Sign: self._sign,
            wire.ListSigningKeys: self._list_signing_keys,
            wire.MatchCallback: self._match_callback,
            wire.ShareCallbackSecret: self._share_callback_secret,
            wire.PutPerson: self._put_person,
            wire.LinkToken: self._link_token,
            wire.ReadFields: self._read_fields,
            wire.FindPerson: self._find_person,
            wire.FindToken: self._find_token,
            wire.ErasePerson: self._erase_person,
            wire.KeepTexts: self._keep_texts,
            wire.ReadText: self._read_text,
            wire.PutCard: self._put_card,
            wire.ShowCard: self._show_card,
            wire.ReadCard: self._read_card,
            wire.FindCard: self._find_card,
            wire.ListCards: self._list_cards,
            **self._ageing.handlers,
            **RootDesk(database, self._ring, clock).handlers,
            wire.RotateUnit: self._rotate_unit,
            wire.RotateSearch: self._rotate_search,
            wire.Sweep: self._sweep,
            wire.RotateOperational: self._rotate_operational,
            wire.Unseal: self._unseal,
            wire.UnsealByPin: self._unseal_by_pin,
            wire.Seal: self._seal,
        }

    # ---- life

    async def open(self) -> None:
        """Replay what was erased, look what keys there are; only then may anybody ask.

        Raises:
            VaultDatabaseUnreachable: the database does not answer, or is not the bank's.
        """
        try:
            async with self._database.connection() as connection:
                await self._erasures.export_missing(connection)
        except VaultUnavailable as unavailable:
            # Nobody's data was asked for yet: what the database says is of the connection.
            message = f"{unavailable.message}: {unavailable.__cause__}"
            raise VaultDatabaseUnreachable(message) from unavailable
        except psycopg.errors.UndefinedTable as error:
            message = "the vault's database holds no bank"
            raise VaultDatabaseUnreachable(message) from error
        except psycopg.errors.InsufficientPrivilege as error:
            message = "the vault's login is not in the role scudo_vault, or there is no bank"
            raise VaultDatabaseUnreachable(message) from error

    async def _attend(self, connection: Connection) -> None:
        """Bring a database that may be an older one up to what we know."""
        if await self._erasures.replay(connection):
            self._cache.clear()
        await self._ring.attend(connection)

    async def close(self) -> None:
        """Forget every key and leave the database."""
        self._cache.clear()
        self._ring.seal()
        await self._database.close()

    def tick(self) -> None:
        """Drop keys that are too old; called every second."""
        self._cache.expire(now=self._clock.monotonic_us())

    async def step(self) -> bool:
        """One step of the sweeps; whether there may be more to do.

        Raises:
            VaultUnavailable: the database refused it; it is tried again.
        """
        if self._ring.state != "open":
            return False
        try:
            moved, left = await self._ring.sweep(SWEPT_AT_ONCE)
            has_hashes = await self._rehashing.step(SWEPT_AT_ONCE)
        except psycopg.Error as error:
            # Such as a key that somebody is still about to use: the next step finds it.
            message = "a step of the sweep was refused"
            raise VaultUnavailable(message) from error
        return bool(has_hashes or moved or left)

    async def answer(self, request: wire.AnyRequest, *, asker: Asker) -> answers.Answer:
        """Answer one request; every "no" is an answer too."""
        try:
            asker.demand(request, now=self._clock.monotonic_us())
            return await self._handlers[type(request)](request)
        except Refusal as refusal:
            return self._refused(request, refusal)
        except (psycopg.Error, OSError):
            _log.exception("a request failed", request=type(request).__name__)
            return self._refused(request, VaultUnavailable("the vault cannot do this now"))
        except Exception:  # noqa: BLE001 - the edge of this process
            # The last net: a defect of ours ends one request, and says nothing of it.
            _log.exception("a request met a defect", request=type(request).__name__)
            return self._refused(request, VaultDefect("the vault could not do this"))

    def _refused(self, request: wire.AnyRequest, refusal: Refusal) -> answers.Refused:
        if isinstance(refusal, CiphertextBroken):
            _log.error("a ciphertext does not open", request=type(request).__name__)
        subject = subject_of(request)
        why = getattr(request, "why", None)
        facts: tuple[answers.Fact, ...] = ()
        if subject is not None and why is not None:
            at = self._clock.wall_us()
            facts = tuple(
                facts_of(subject, Read(why, at), dict.fromkeys(subject.fields, refusal.code))
            )
        return answers.Refused(refusal.code, refusal.message, refusal.field, facts)

    # ---- how it is

    async def _status(self, _request: wire.Status) -> answers.StatusShown:
        entered, needed = self._ring.progress(now=self._clock.monotonic_us())
        return answers.StatusShown(
            state=self._ring.state,
            is_development=self._ring.is_development,
            shares_entered=entered,
            shares_needed=needed,
            unit=self._ring.unit_number,
            keys_left=await self._ring.count_left(),
            token_version=self._keys.token_version,
            root=self._ring.root_id.hex(),
            root_approval=self._ring.root_approval,
            signing={
                key.algorithm: key.key_id for key in self._keys.signing_keys() if key.is_active
            },
            cached_keys=len(self._cache),
            refused=dict(self._quotas.refused),
            user=os.geteuid(),
            search=self._ring.search_number,
            hashes_left=await self._rehashing.count_left(),
            root_kind=self._ring.root_kind,
            hsm=self._ring.root_hsm,
            turned_away=dict(self.turned_away),
        )

    # ---- operational keys: also while sealed

    async def _tokenise(self, request: wire.Tokenise) -> answers.Tokens:
        self._count(TOKENISE, len(request.values))
        version = request.version or self._keys.token_version
        tokens = self._persons.tokens(request.kind, request.values, version=version)
        return answers.Tokens(version, tokens)

    async def _tokenise_all(self, request: wire.TokeniseAll) -> answers.Tokens:
        self._count(TOKENISE, sum(map(len, request.named.values())))
        tokens = [
            token
            for kind, values in request.named.items()
            for token in self._persons.tokens(kind, values)
        ]
        return answers.Tokens(self._keys.token_version, tuple(tokens))

    async def _sign(self, request: wire.Sign) -> answers.Signature:
        self._count(SIGN, 1)
        return self._keys.sign(request.algorithm, request.data, key_id=request.key_id)

    async def _list_signing_keys(self, _request: wire.ListSigningKeys) -> answers.SigningKeys:
        return answers.SigningKeys(tuple(self._keys.signing_keys()))

    async def _match_callback(self, request: wire.MatchCallback) -> answers.CallbackMatched:
        self._count(CALLBACK, 1)
        matches = self._keys.matches(request.callback, request.keys, request.data, request.macs)
        return answers.CallbackMatched(matches)

    async def _share_callback_secret(
        self, request: wire.ShareCallbackSecret
    ) -> answers.CallbackSecret:
        self._count(_CALLBACK_SECRET, 1)
        _log.warning("a shared secret was given out", callback=request.callback, key=request.key)
        return answers.CallbackSecret(self._keys.callback_secret(request.callback, request.key))

    async def _rotate_operational(self, request: wire.RotateOperational) -> answers.Done:
        self._keys.rotate(request.which)
        return answers.Done()

    # ---- persons

    async def _put_person(self, request: wire.PutPerson) -> answers.PersonPut:
        fields = {name: demand_value(name, value) for name, value in request.fields.items()}
        tokens = await self._persons.put(request.person, fields)
        birth = fields.get(BIRTH_DATE)
        today = instant(self._clock.wall_us()).date()
        band = None if birth is None else age_band(birth, today=today)
        return answers.PersonPut(tokens, self._keys.token_version, band)

    async def _link_token(self, request: wire.LinkToken) -> answers.Tokens:
        token = await self._persons.link(request.person, request.kind, request.value)
        return answers.Tokens(self._keys.token_version, (token,))

    async def _read_fields(self, request: wire.ReadFields) -> answers.FieldsRead:
        for name in request.fields:
            demand_purpose(request.why.purpose, demand_field(name).data_class)
        read = self._allow(request.why, len(request.fields))
        values = await self._persons.read(
            request.person, request.fields, read=read, now=self._clock.monotonic_us()
        )
        results = {name: "given" if name in values else "absent" for name in request.fields}
        subject = Subject("read", "person", request.person, request.fields)
        return answers.FieldsRead(values, tuple(facts_of(subject, read, results)))

    async def _find_person(self, request: wire.FindPerson) -> answers.PersonsFound:
        demand_purpose(request.why.purpose, demand_field(request.kind).data_class)
        read = self._allow(request.why, 1)
        found = await self._persons.find(request.kind, request.value, read=read)
        return answers.PersonsFound(found, found_facts(found, request.kind, read))

    async def _find_token(self, request: wire.FindToken) -> answers.PersonsFound:
        demand_purpose(request.why.purpose, DataClass.PERSONAL)
        read = self._allow(request.why, 1)
        found = await self._persons.find_linked(request.kind, request.token, read=read)
        return answers.PersonsFound(found, found_facts(found, request.kind, read))

    async def _erase_person(self, request: wire.ErasePerson) -> answers.Erased:
        at, destroyed = await self._persons.erase(
            Erasure(
                person=request.person,
                at=self._clock.wall_us(),
                actor=request.actor,
                reason=request.reason,
                correlation=request.correlation,
            )
        )
        return answers.Erased(at, bool(destroyed.get("keys")), destroyed)

    # ---- texts of payments

    async def _keep_texts(self, request: wire.KeepTexts) -> answers.TextsKept:
        self._count(TOKENISE, len(request.named))
        self._count(_KEEP_TEXTS, len(request.texts))
        tokens = [
            token for kind, value in request.named for token in self._persons.tokens(kind, (value,))
        ]
        try:
            kept = await self._texts.keep(request.texts)
        except (VaultRefusal, psycopg.Error, OSError) as error:
            # Money moves all the same: without the text, and with what rules may know of it.
            if self._ring.state == "open":
                _log.warning("texts of payments were not kept", error=type(error).__name__)
            texts = self._texts
            kept = [told(new, texts.claim(new), is_kept=False) for new in request.texts]
        return answers.TextsKept(tuple(kept), tuple(tokens))

    async def _read_text(self, request: wire.ReadText) -> answers.TextRead:
        demand_purpose(request.why.purpose, DataClass.PERSONAL)
        read = self._allow(request.why, 1)
        text = await self._texts.read(
            request.person, request.claim, read=read, now=self._clock.monotonic_us()
        )
        subject = Subject("read", "person", request.person, (PAYMENT_TEXT,))
        return answers.TextRead(text, given_facts(subject, read))

    # ---- cards

    async def _put_card(self, request: wire.PutCard) -> answers.CardPut:
        card, token = await self._cards.put(request.number, request.expiry, request.person)
        return answers.CardPut(card, token, self._keys.token_version)

    async def _show_card(self, request: wire.ShowCard) -> answers.CardShown:
        demand_purpose(request.why.purpose, DataClass.CARDHOLDER)
        read = self._allow(request.why, 1)
        first_six, last_four = await self._cards.show(request.card, request.person, read=read)
        facts = given_facts(Subject("show_card", "card", request.card, (CARD_NUMBER,)), read)
        return answers.CardShown(first_six, last_four, facts)

    async def _read_card(self, request: wire.ReadCard) -> answers.CardRead:
        if request.why.purpose != NETWORK:
            message = "a full card number is for the network only"
            raise VaultForbidden(message, field="purpose")
        read = self._allow(request.why, 1)
        number, expiry = await self._cards.read(request.card, read=read)
        facts = given_facts(Subject("read_card", "card", request.card, (CARD_NUMBER,)), read)
        return answers.CardRead(number, expiry, facts)

    async def _find_card(self, request: wire.FindCard) -> answers.CardFound:
        demand_purpose(request.why.purpose, DataClass.CARDHOLDER)
        read = self._allow(request.why, 1)
        card = await self._cards.find(request.number, read=read)
        subject = Subject("find", "card", card or 0, (CARD_NUMBER,))
        result = "absent" if card is None else "given"
        return answers.CardFound(card, tuple(facts_of(subject, read, {CARD_NUMBER: result})))

    async def _list_cards(self, request: wire.ListCards) -> answers.CardsListed:
        demand_purpose(request.why.purpose, DataClass.CARDHOLDER)
        read = self._allow(request.why, 1)
        lines = await self._cards.list_of(request.person, read=read)
        facts = given_facts(Subject("list_cards", "person", request.person, (CARD_NUMBER,)), read)
        return answers.CardsListed(lines, facts)

    # ---- unit keys

    async def _rotate_unit(self, _request: wire.RotateUnit) -> answers.UnitRotated:
        return answers.UnitRotated(await self._ring.rotate_unit(at=instant(self._clock.wall_us())))

    async def _rotate_search(self, _request: wire.RotateSearch) -> answers.SearchRotated:
        at = instant(self._clock.wall_us())
        return answers.SearchRotated(await self._ring.rotate_search(at=at))

    async def _sweep(self, request: wire.Sweep) -> answers.Swept:
        return answers.Swept(*await self._ring.sweep(request.limit))

    async def _unseal(self, request: wire.Unseal) -> answers.UnsealProgress:
        entered, needed = await self._ring.unseal(
            request.share, keeper=request.keeper, now=self._clock.monotonic_us()
        )
        _log.warning("a share was entered", entered=entered, needed=needed)
        return answers.UnsealProgress(entered, needed, self._ring.state == "open")

    async def _unseal_by_pin(self, request: wire.UnsealByPin) -> answers.UnsealProgress:
        await self._ring.unseal_by_pin(request.pin)
        _log.warning("the token of the root was logged in to")
        return answers.UnsealProgress(1, 1, is_open=True)

    async def _seal(self, _request: wire.Seal) -> answers.Done:
        self._ring.seal_until_restart()
        self._cache.clear()
        _log.warning("the vault was sealed")
        return answers.Done()

    # ---- what is read, and why

    def _count(self, what: str, values: int) -> None:
        """Count a use of the operational keys.

        Raises:
            VaultQuota: there were too many lately.
        """
        self._quotas.take(what, values, now=self._clock.monotonic_us())

    def _allow(self, why: answers.Why, values: int) -> Read:
        """Count a read of values; gives it with its time.

        Raises:
            VaultSealed: there are no keys.
            VaultQuota: this purpose has read too much.
        """
        self._ring.demand_open()
        self._quotas.take(why.purpose, values, now=self._clock.monotonic_us())
        return Read(why, self._clock.wall_us())
