"""Keys of callbacks, and what callbacks change: records, kept by commands through the writer."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from scudo.fabric import Answer, Command, Entry, Reference, Register
from scudo.governance.callbacks.errors import (
    CallbackKeyUnknown,
    CallbackUndeclared,
    CallbackUnexpected,
    CallbackUnknown,
)
from scudo.governance.callbacks.inventory import INVENTORY, PARTNER_PING, Callback, Ping
from scudo.governance.callbacks.signing import Algorithm
from scudo.governance.events import CallbackKeyAdded, CallbackKeyRevoked, CallbackPinged
from scudo.kernel import SECOND_US

_KEYS_KIND: Final = 530
_PINGS_KIND: Final = 531
_encode: Final = msgspec.json.Encoder().encode
_DONE: Final = Answer(200, b"{}")

C = TypeVar("C", bound=Command)


class CallbackKey(msgspec.Struct, frozen=True):
    """A key that a callback may be signed with; a shared secret itself is nowhere in it.

    Attributes:
        number: position of the event that tells of it; a shared secret is derived from it.
        public: 32 bytes of an Ed25519 key; empty for a shared secret.
        since, until: microseconds; `until` None: for ever.
    """

    number: int
    algorithm: Algorithm
    public: bytes
    since: int
    until: int | None

    def is_good(self, now: int) -> bool:
        """Whether it may be used at a time in microseconds."""
        return self.until is None or now < self.until


class CallbackKeys(msgspec.Struct, frozen=True):
    """The keys of one callback that are good, or were until lately."""

    keys: tuple[CallbackKey, ...] = ()


class PingsTaken(msgspec.Struct, frozen=True):
    """How far a sender of pings has counted."""

    sequence: int


class AddCallbackKey(Command, frozen=True, tag=530):
    """Let a callback be signed with a further key, and the others for `overlap_s` seconds more.

    Attributes:
        approval: of two people, which is used up by this; 0: the owner does it alone.
    """

    callback: int
    algorithm: Algorithm
    public: bytes
    overlap_s: int
    approval: int = 0


class RevokeCallbackKey(Command, frozen=True, tag=531):
    """Let a callback be signed with a key no more, from now on."""

    callback: int
    key: int


class TakePing(Command, frozen=True, tag=532):
    """A partner has counted up."""

    sequence: int


class Reaction(Generic[C]):
    """What a callback does, once it is known who sent it.

    Attributes:
        translate: from the body to the command; tokens in place of personal data.
        command: what `translate` gives.
        expects: compares with our own state, inside the entry; raises a refusal.
        act: does it, after that.
    """

    def __init__(
        self,
        *,
        translate: Callable[[Any], C],
        command: type[C],
        expects: Callable[[C], None],
        act: Callable[[C, Entry], Answer],
    ) -> None:
        """Join the two halves of a reaction, of which none works without the other."""
        self.translate = translate
        self.command = command
        self._expects = expects
        self._act = act

    def carry_out(self, command: C, entry: Entry) -> Answer:
        """Compare, then act.

        Raises:
            CallbackUnexpected: our own state says otherwise.
        """
        self._expects(command)
        return self._act(command, entry)


class Callbacks:
    """Keeps the keys of all callbacks, and what they change of this room.

    Attributes:
        accepted: how many were carried out, by name of the callback.
        refused: how many were not, by name and code.
    """

    def __init__(self) -> None:
        """Begin with no key: nobody can call before one is added."""
        self._keys = Register(_KEYS_KIND, CallbackKeys, resident=True)
        self._pings = Register(_PINGS_KIND, PingsTaken, resident=True)
        self._reactions: dict[str, Reaction[Any]] = {}
        self.accepted: dict[str, int] = {}
        self.refused: dict[tuple[str, str], int] = {}
        self.react(
            PARTNER_PING,
            Reaction(
                translate=_ping,
                command=TakePing,
                expects=self._expects_ping,
                act=self._take_ping,
            ),
        )

    def react(self, callback: Callback, reaction: Reaction[Any]) -> None:
        """Say what a declared callback does; rooms above add theirs before the bank opens.

        Raises:
            CallbackUndeclared: the inventory does not list it.
        """
        if callback not in INVENTORY:
            message = f"the callback {callback.name} is not in the inventory"
            raise CallbackUndeclared(message)
        self._reactions[callback.name] = reaction

    def reaction(self, callback: Callback) -> Reaction[Any]:
        """What a callback does.

        Raises:
            CallbackUndeclared: the inventory does not list it, or nobody said what it does.
        """
        found = self._reactions.get(callback.name)
        if found is None or callback not in INVENTORY:
            message = f"the callback {callback.name} is not in the inventory"
            raise CallbackUndeclared(message)
        return found

    def good_keys(self, callback: Callback, *, now: int) -> Iterator[CallbackKey]:
        """Keys that a callback may be signed with at a time in microseconds."""
        kept = self._keys.get(callback.number) or CallbackKeys()
        return (key for key in kept.keys if key.is_good(now))

    # ---- the keeper's port

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self._keys, self._pings)

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """What works on each kind of command, inside its entry."""
        reactions = {r.command: r.carry_out for r in self._reactions.values()}
        return {AddCallbackKey: self._add_key, RevokeCallbackKey: self._revoke_key, **reactions}

    def refers_to(self, command: Command) -> Iterable[Reference]:  # noqa: ARG002 - the port asks for it
        """Nothing: all of it is in memory."""
        return ()

    def _add_key(self, command: AddCallbackKey, entry: Entry) -> Answer:
        number, now = entry.next_position, entry.ordered_at
        until = now + command.overlap_s * SECOND_US
        kept = self._keys.get(command.callback) or CallbackKeys()
        older = (
            msgspec.structs.replace(
                key, until=until if key.until is None else min(key.until, until)
            )
            for key in kept.keys
            if key.is_good(now)
        )
        key = CallbackKey(number, command.algorithm, command.public, now, None)
        entry.emit(CallbackKeyAdded(number, command.callback, command.algorithm, until))
        self._keys.put(entry, command.callback, CallbackKeys((*older, key)))
        return Answer(201, _encode({"key": number}))

    def _revoke_key(self, command: RevokeCallbackKey, entry: Entry) -> Answer:
        kept = self._keys.get(command.callback) or CallbackKeys()
        left = tuple(key for key in kept.keys if key.number != command.key)
        if len(left) == len(kept.keys):
            message = "this callback has no such key"
            raise CallbackKeyUnknown(message, field="key_id")
        entry.emit(CallbackKeyRevoked(command.key, command.callback))
        self._keys.put(entry, command.callback, CallbackKeys(left))
        return _DONE

    def _expects_ping(self, command: TakePing) -> None:
        taken = self._pings.get(PARTNER_PING.number)
        if taken is not None and command.sequence <= taken.sequence:
            message = f"a ping with the sequence {taken.sequence} was taken already"
            raise CallbackUnexpected(message, field="data.sequence")

    def _take_ping(self, command: TakePing, entry: Entry) -> Answer:
        entry.emit(CallbackPinged(entry.next_position, PARTNER_PING.number, command.sequence))
        self._pings.put(entry, PARTNER_PING.number, PingsTaken(command.sequence))
        return Answer(200, _encode({"sequence": command.sequence}))


def _ping(body: Ping) -> TakePing:
    return TakePing(body.data.sequence)


def find_callback(name: str) -> Callback:
    """Find a callback by its name.

    Raises:
        CallbackUnknown: the inventory has none.
    """
    for callback in INVENTORY:
        if callback.name == name:
            return callback
    message = "there is no such callback"
    raise CallbackUnknown(message, field="callback")
