"""What the log is told of the vault's keys: ids and numbers, and what took whose place."""

from typing import ClassVar

from scudo.fabric import Event
from scudo.kernel import ids


class VaultKeysFound(Event, frozen=True, tag=554):
    """The bank met its vault for the first time, and these keys were in use.

    Attributes:
        event_id: position of this event.
        keys: id of the root and of each signing key, number of the unit, search and token key, as
            `root=…`, in order; those of a vault that is sealed are not all known.
    """

    name: ClassVar[str] = "vault.keys.found.v1"

    event_id: ids.EventId
    keys: tuple[str, ...]


class VaultKeyChanged(Event, frozen=True, tag=550):
    """A key of the vault is in use from about here on, in the place of the one before.

    For the token key this is where tokens were anchored anew: those that stand before are of
    the version before, with the exception of a minute in which both may occur.

    Attributes:
        change_id: position of this event.
        which: `root`, `unit`, `search`, `token`, or an algorithm that heads are signed by.
        before, after: id of a root or signing key, number of another; empty: none.
    """

    name: ClassVar[str] = "vault.key.changed.v1"

    change_id: ids.EventId
    which: str
    before: str
    after: str
