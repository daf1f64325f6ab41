"""Which keys the vault uses, as the log knows it: every change is an event.

The vault cannot write to the log. The bank looks how the vault is, and when it uses another
key than the log has last told of, whoever had it rotated and whenever, this is recorded.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from scudo.fabric import Answer, Command, Entry, Reference, Register
from scudo.vault.answers import StatusShown
from scudo.vault.events import VaultKeyChanged, VaultKeysFound

_KIND: Final = 550
_ONE: Final = 1
_ANSWER: Final = Answer(200, b"{}")


class KeysInUse(msgspec.Struct, frozen=True):
    """Names of the keys in use: ids of roots and signing keys, numbers of the others."""

    keys: dict[str, str] = {}


class NoteKeys(Command, frozen=True, tag=550):
    """Tell the log which keys the vault uses; others than it last told of.

    Attributes:
        approval: number of the one that the vault made its root by; 0: of none.
    """

    keys: tuple[tuple[str, str], ...]
    approval: int = 0


def keys_in_use(status: StatusShown) -> tuple[tuple[str, str], ...]:
    """Names of the keys that a vault says it uses; while it is sealed, of those it can tell."""
    named = {"root": status.root, "token": str(status.token_version), **status.signing}
    if status.unit:
        named["unit"] = str(status.unit)
    if status.search:
        named["search"] = str(status.search)
    return tuple(sorted((which, key) for which, key in named.items() if key))


class KeyKeeper:
    """Remembers which keys the log has told of."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known = Register(_KIND, KeysInUse, resident=True)
        self.registers: Final = (self._known,)
        self.handlers: Final[Mapping[type[Command], Callable[[Any, Entry], Answer]]] = {
            NoteKeys: self._note
        }

    @property
    def root(self) -> str:
        """Id of the root that the log has last told of, in hex; empty: of none."""
        return self._told().get("root", "")

    def is_known(self, keys: Iterable[tuple[str, str]]) -> bool:
        """Whether the log has told of all of these."""
        told = self._told()
        return all(told.get(which) == key for which, key in keys)

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Nothing: what is known is in memory."""
        del command
        return ()

    def _told(self) -> dict[str, str]:
        known = self._known.get(_ONE)
        return {} if known is None else known.keys

    def _note(self, command: NoteKeys, entry: Entry) -> Answer:
        told = self._told()
        changed = [(which, key) for which, key in command.keys if told.get(which) != key]
        assert changed, "the log is told of what is new"
        if not told:
            named = tuple(f"{which}={key}" for which, key in changed)
            entry.emit(VaultKeysFound(entry.next_position, named))
        for which, key in changed if told else ():
            before = told.get(which, "")
            entry.emit(VaultKeyChanged(entry.next_position, which, before, key))
        self._known.put(entry, _ONE, KeysInUse({**told, **dict(changed)}))
        return _ANSWER
