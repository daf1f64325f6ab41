"""Keys of callbacks that two people want: a shared secret is shown once, to its user."""

from base64 import b64decode, b64encode
from typing import Annotated, Any, Final

import msgspec

from scudo.fabric import Entry
from scudo.governance import approvals
from scudo.governance.callbacks.errors import CallbackKeyMalformed, CallbackUnknown
from scudo.governance.callbacks.inventory import INVENTORY
from scudo.governance.callbacks.keeping import AddCallbackKey, find_callback
from scudo.governance.callbacks.signing import PUBLIC_PREFIX, Algorithm

ADD_KEY: Final = "add_callback_key"
_PUBLIC_BYTES: Final = 32
#: Up to thirty days for the other side to change over.
Overlap = Annotated[int, msgspec.Meta(ge=0, le=30 * 86_400)]
PublicText = Annotated[str, msgspec.Meta(max_length=64)]


class CallbackKeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A further key: the sender's public one, or none for a shared secret of the bank's making."""

    callback: Annotated[str, msgspec.Meta(max_length=64)]
    overlap_s: Overlap
    public_key: PublicText | None = None


def callback_kinds() -> tuple[approvals.ApprovalKind[Any], ...]:
    """The kinds of change of callbacks: the key is added where the approval is used."""
    return (
        approvals.ApprovalKind(
            name=ADD_KEY,
            change=CallbackKeyChange,
            describe=_describe,
            demand=_demand,
            execute=_leave,
            refusals=(CallbackKeyMalformed, CallbackUnknown),
            has_owners_way=True,
        ),
    )


def key_command(change: CallbackKeyChange, *, approval: int = 0) -> AddCallbackKey:
    """Read which key is added.

    Raises:
        CallbackUnknown: there is no such callback.
        CallbackKeyMalformed: it cannot be signed with this key.
    """
    callback = find_callback(change.callback)
    public = b"" if change.public_key is None else _public(change.public_key)
    algorithm = Algorithm.ED25519 if public else Algorithm.HMAC
    if algorithm not in callback.algorithms:
        message = f"{callback.name} is not signed by {algorithm}"
        raise CallbackKeyMalformed(message, field="public_key")
    return AddCallbackKey(callback.number, algorithm, public, change.overlap_s, approval)


def approved_key(command: AddCallbackKey) -> tuple[int, str]:
    """Under which approval a key is added, and the canonical change that it must be of."""
    name = next(one.name for one in INVENTORY if one.number == command.callback)
    public = None
    if command.public:
        public = PUBLIC_PREFIX + b64encode(command.public).decode("ascii")
    change = CallbackKeyChange(name, command.overlap_s, public)
    return command.approval, approvals.canonical(change)


def _describe(change: CallbackKeyChange) -> approvals.Description:
    key = change.public_key or "a shared secret"
    diff: dict[str, tuple[Any, Any]] = {
        f"{change.callback}.keys": (None, {"key": key, "older_ones_end_in_s": change.overlap_s})
    }
    effect = f"who holds this key may send {change.callback}; use the approval within 24 hours"
    return approvals.Description(diff, effect)


def _demand(change: CallbackKeyChange, now: int) -> None:
    del now
    key_command(change)


def _leave(change: CallbackKeyChange, entry: Entry, decided: approvals.Decided) -> None:
    """Nothing yet: the key is added where the approval is used."""
    del change, entry, decided


def _public(text: str) -> bytes:
    encoded = text.removeprefix(PUBLIC_PREFIX)
    try:
        public = b64decode(encoded.encode("ascii"), validate=True)
    except ValueError:
        public = b""
    if not text.startswith(PUBLIC_PREFIX) or len(public) != _PUBLIC_BYTES:
        message = "this is not whpk_ and the Base64 of 32 bytes"
        raise CallbackKeyMalformed(message, field="public_key")
    return public
