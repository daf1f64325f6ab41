"""A new root of the vault by two people: what they approve, and what the bank sees of it.

Shares are in people's hands and never here: keepers rotate the root with `scudo vault
rotate-root`, and the vault itself reads whether that was approved (migration 0005). What the bank
sees afterwards is another root: it notes the approval as used, or pages whoever is on call.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from scudo.fabric import Answer, Entry
from scudo.governance import approvals
from scudo.governance.events import RootUnapproved
from scudo.vault import HsmUri, KeyKeeper, NoteKeys, demand_shares, errors

_ROTATE: Final = "rotate_root"
_Handler = Callable[[Any, Entry], Answer]


class RootChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new root: in shares, of which `threshold` open the vault, or in a token (RFC 7512)."""

    shares: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    threshold: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    token: Annotated[str, msgspec.Meta(max_length=1_000)] = ""


class Roots:
    """The kind of approval, and what is compared with it."""

    def __init__(self, keys: KeyKeeper) -> None:
        """Look up here which root the log has last told of."""
        self._keys = keys

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """The kinds of change that need a second person."""
        return (
            approvals.ApprovalKind(
                name=_ROTATE,
                change=RootChange,
                describe=self._describe,
                demand=self._demand,
                execute=_leave,
                refusals=(errors.SharesUnfit, errors.HsmUriUnfit, errors.VaultNotInitialised),
                has_owners_way=True,
                # A share that somebody else has seen does not wait a day.
                emergency_us=approvals.HOUR_US,
            ),
        )

    def noticing(
        self,
        handler: _Handler,
        approved: approvals.Approvals,
        uses: approvals.Uses,
        ways: approvals.OwnersWays,
    ) -> _Handler:
        """Let a handler note the vault's keys, and find by whose approval the root is another."""

        def handle(command: NoteKeys, entry: Entry) -> Answer:
            before = self._keys.root
            answer = handler(command, entry)
            after = self._keys.root
            if before and after != before:
                number = command.approval
                approval = approved.register.get(number)
                is_given = approval is not None and approval.kind == _ROTATE
                if is_given and not uses.is_used(number):
                    uses.note(entry, number, kind=_ROTATE)
                elif ways.is_closed(_ROTATE):
                    page = approvals.Severity.PAGE
                    entry.emit(RootUnapproved(entry.next_position, before, after, page))
            return answer

        return handle

    def _describe(self, change: RootChange) -> approvals.Description:
        opened = (
            f"a key that stays in {change.token}"
            if change.token
            else f"a new key, of which any {change.threshold} of {change.shares} shares are enough"
        )
        effect = f"keepers put {opened} in the place of the vault's root, within 24 hours, once"
        return approvals.Description({"root": (self._keys.root, opened)}, effect)

    def _demand(self, change: RootChange, now: int) -> None:
        """Refuse a root that cannot be made.

        Raises:
            VaultNotInitialised: the log knows of no root that it would replace.
            HsmUriUnfit: no token is meant by it, or shares are named beside it.
            SharesUnfit: these are no shares that guard a vault.
        """
        del now
        if not self._keys.root:
            message = "the bank has not yet seen a root in its vault"
            raise errors.VaultNotInitialised(message)
        if not change.token:
            demand_shares(change.shares, change.threshold)
            return
        uri = HsmUri.parse(change.token)
        if str(uri) != change.token or change.shares or change.threshold:
            message = "name the token alone: no module, no PIN, and no shares beside it"
            raise errors.HsmUriUnfit(message, field="change.token")


def _leave(change: RootChange, entry: Entry, decided: approvals.Decided) -> None:
    """Nothing yet: keepers make the root where its shares are handed out."""
    del change, entry, decided
