"""What the vault's keys tell the log: that one took another's place. Ids and numbers only."""

from typing import ClassVar

from scudo.fabric import Event
from scudo.kernel import ids


class VaultKeyChanged(Event, frozen=True, tag=550):
    """A key of the vault is in use from about here on, in the place of the one before.

    For the token key this is where tokens were anchored anew: those that stand before are of
    the version before, with the exception of a minute in which both may occur.

    Attributes:
        change_id: position of this event.
        which: `root`, `unit`, `token`, or an algorithm that heads are signed by.
        before, after: id of a root or signing key, number of a unit or token key; empty: none.
    """

    name: ClassVar[str] = "vault.key.changed.v1"

    change_id: ids.EventId
    which: str
    before: str
    after: str
