"""HTTP operations of callbacks: those that others call, and those that keep their keys."""

import contextlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from scudo.fabric import Tokens, web
from scudo.governance import approvals
from scudo.governance.acts import Act, Recorder
from scudo.governance.callbacks.errors import (
    CallbackForged,
    CallbackKeyMalformed,
    CallbackKeyUnknown,
    CallbackStale,
    CallbackUnexpected,
    CallbackUnknown,
    CallbackUnreadable,
    CallbackUnsigned,
)
from scudo.governance.callbacks.inventory import INVENTORY, Callback
from scudo.governance.callbacks.keeping import (
    CallbackKey,
    Callbacks,
    RevokeCallbackKey,
    find_callback,
)
from scudo.governance.callbacks.kinds import (
    CallbackKeyChange,
    Overlap,
    PublicText,
    key_command,
)
from scudo.governance.callbacks.sharing import Secrets, demand_sender
from scudo.governance.callbacks.signing import (
    SECRET_PREFIX,
    read_signed,
)
from scudo.kernel import SECOND_US, Prefix, Refusal, ids, micros, rfc3339
from scudo.vault import VaultQuota, VaultUnavailable

_TAG: Final = "callbacks"
_FIRST_REFUSAL: Final = 400
_CREATED: Final = 201
#: Refusals of one callback that are recorded as acts within a minute; strangers can make any
#: number, and must not fill the log with them. All are counted.
_TOLD_MAX: Final = 60
_MINUTE_US: Final = 60 * SECOND_US

KeyIdText = Annotated[str, web.id_text(Prefix.EVENT)]


class NewCallbackKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A further key: the sender's public one, or none for a shared secret of the bank's making.

    From when on there are two people to decide on it, it names their approval.
    """

    overlap_s: Overlap
    public_key: PublicText | None = None
    approval_id: Annotated[str, web.id_text(Prefix.APPROVAL)] | None = None


class CallbackKeyView(msgspec.Struct, frozen=True):
    """A key that is good; a shared secret is shown once, when it is made."""

    id: KeyIdText
    signed_by: str
    until: str | None
    secret: str | None = None


class CallbackView(msgspec.Struct, frozen=True):
    """A callback of the inventory."""

    name: str
    path: str
    sender: str
    owner: str
    signed_by: tuple[str, ...]
    window_s: int
    keys: tuple[CallbackKeyView, ...]


class CallbackList(msgspec.Struct, frozen=True):
    """The whole inventory."""

    items: tuple[CallbackView, ...]


class _Code(msgspec.Struct):
    """What of a problem is counted."""

    code: str


@dataclass(slots=True)
class CallbackDesk:
    """Serves callbacks.

    Attributes:
        callbacks: keys, reactions and counts.
        secrets: knows the shared secrets.
        submit: hands commands to the writer.
        record: records acts.
        clock: what time it is.
        tokeniser: turns a peer's address into a token.
    """

    callbacks: Callbacks
    secrets: Secrets
    submit: web.Submit
    record: Recorder
    clock: web.Clock
    tokeniser: Tokens
    _told: dict[str, tuple[int, int]] = field(default_factory=dict)

    def mount(self, callback: Callback) -> web.Operation:
        """Make the operation that others call.

        Raises:
            CallbackUndeclared: the inventory does not list it.
        """
        reaction = self.callbacks.reaction(callback)
        decode = msgspec.json.Decoder(callback.body).decode

        async def take(call: web.Call) -> web.Reply:
            try:
                signed = read_signed(
                    call.arrival.headers,
                    call.body,
                    now_s=self._now() // SECOND_US,
                    window_s=callback.window_s,
                )
                keys = tuple(self.callbacks.good_keys(callback, now=self._now()))
                await demand_sender(signed, callback.name, keys, self.secrets)
                command = reaction.translate(_decoded(decode, call.body))
            except Refusal as refusal:
                await self._refused(callback, refusal.code, call)
                raise
            # The replay store is the log's own: an id is answered as it was, for ever.
            keyed = msgspec.structs.replace(
                call, client=web.NOBODY, key=f"callback:{callback.name}:{signed.message}"
            )
            reply = await web.submitted(self.submit, command, keyed)
            if reply.status >= _FIRST_REFUSAL:
                assert isinstance(reply.body, bytes), "the writer answers in bytes"
                await self._refused(
                    callback, msgspec.json.decode(reply.body, type=_Code).code, call
                )
            else:
                accepted = self.callbacks.accepted
                accepted[callback.name] = accepted.get(callback.name, 0) + 1
            return reply

        return web.Operation(
            method="POST",
            path=callback.path,
            name=f"take_{callback.name}",
            summary=callback.summary,
            tag=_TAG,
            scope=None,
            handler=take,
            answers={200: dict},
            body=callback.body,
            is_raw=True,
            network_limit=_TAG,
            example=callback.example,
            refusals=(
                CallbackForged,
                CallbackStale,
                CallbackUnexpected,
                CallbackUnreadable,
                CallbackUnsigned,
                VaultQuota,
                VaultUnavailable,
                *web.SUBMIT_REFUSALS,
            ),
        )

    def _now(self) -> int:
        return micros(self.clock())

    async def _refused(self, callback: Callback, code: str, call: web.Call) -> None:
        """Count a refusal, and record it while there are not too many."""
        refused = self.callbacks.refused
        refused[callback.name, code] = refused.get((callback.name, code), 0) + 1
        minute = self._now() // _MINUTE_US
        began, told = self._told.get(callback.name, (minute, 0))
        told = told + 1 if began == minute else 1
        self._told[callback.name] = (minute, told)
        if told > _TOLD_MAX:
            return
        network = None
        # Without tokens the refusal is recorded all the same, and not where it came from.
        with contextlib.suppress(Refusal):
            (network,) = await self.tokeniser.tokens((("ip", call.arrival.network),))
        act = Act(
            actor=0,
            actor_kind=web.PrincipalKind.NOBODY,
            act="callbacks.take",
            object=callback.name,
            result=code,
            network=network,
            trace=call.trace_id,
        )
        await self.record((act,))

    async def list_callbacks(self, _call: web.Call) -> web.Reply:
        """Show the inventory, with the keys that are good."""
        now = self._now()
        return web.Reply(
            200,
            CallbackList(
                tuple(
                    CallbackView(
                        callback.name,
                        callback.path,
                        callback.sender,
                        callback.owner,
                        tuple(sorted(callback.algorithms)),
                        callback.window_s,
                        tuple(map(_key, self.callbacks.good_keys(callback, now=now))),
                    )
                    for callback in INVENTORY
                )
            ),
        )

    async def add_key(self, call: web.Call) -> web.Reply:
        """Add a key; the older ones stay good for a while.

        Raises:
            CallbackUnknown: there is no such callback.
            CallbackKeyMalformed: it cannot be signed with this key.
            VaultUnavailable: the shared secret cannot be told; sent again with the same
                Idempotency-Key, it is.
        """
        callback = find_callback(call.path["callback"])
        body: NewCallbackKey = call.body
        approval = 0
        if body.approval_id is not None:
            approval = ids.parse(Prefix.APPROVAL, body.approval_id, field="approval_id")
        change = CallbackKeyChange(callback.name, body.overlap_s, body.public_key)
        command = key_command(change, approval=approval)
        public, algorithm = command.public, command.algorithm
        if not public:
            # The keys before it may end at once: not for one whose secret cannot be told.
            await self.secrets.demand_there()
        reply = await web.submitted(self.submit, command, call)
        if reply.status != _CREATED:
            return reply
        assert isinstance(reply.body, bytes), "the writer answers in bytes"
        number = msgspec.json.decode(reply.body, type=dict[str, int])["key"]
        secret = None
        if not public:
            derived = await self.secrets.secret(callback.name, number)
            secret = SECRET_PREFIX + b64encode(derived).decode("ascii")
        view = CallbackKeyView(ids.show(Prefix.EVENT, number), algorithm, None, secret)
        return web.Reply(_CREATED, view)

    async def revoke_key(self, call: web.Call) -> web.Reply:
        """Revoke a key at once."""
        callback = find_callback(call.path["callback"])
        key = ids.parse(Prefix.EVENT, call.path["key_id"], field="key_id")
        return await web.submitted(self.submit, RevokeCallbackKey(callback.number, key), call)


def _decoded(decode: Callable[[bytes], msgspec.Struct], body: bytes) -> msgspec.Struct:
    try:
        return decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # The decoder's own words may quote what was sent.
        message = "the body is not as it was agreed"
        raise CallbackUnreadable(message) from error


def _key(key: CallbackKey) -> CallbackKeyView:
    until = None if key.until is None else rfc3339(key.until)
    return CallbackKeyView(ids.show(Prefix.EVENT, key.number), key.algorithm, until)


def operations(desk: CallbackDesk) -> tuple[web.Operation, ...]:
    """List all operations: the inventory's own, and those that keep the keys."""
    return (
        *(desk.mount(callback) for callback in INVENTORY),
        web.Operation(
            method="GET",
            path="/v1/callbacks",
            name="list_callbacks",
            summary="List every way in for others' systems, with its good keys",
            tag=_TAG,
            scope="callbacks:read",
            is_bank_wide=True,
            handler=desk.list_callbacks,
            answers={200: CallbackList},
        ),
        web.Operation(
            method="POST",
            path="/v1/callbacks/{callback}/keys",
            name="add_callback_key",
            summary="Let a callback be signed with a further key",
            tag=_TAG,
            scope="callbacks:write",
            is_bank_wide=True,
            handler=desk.add_key,
            answers={201: CallbackKeyView},
            path_types={"callback": str},
            body=NewCallbackKey,
            refusals=(
                CallbackKeyMalformed,
                CallbackUnknown,
                VaultQuota,
                VaultUnavailable,
                approvals.errors.ApprovalNotFound,
                approvals.errors.ApprovalUnfit,
                approvals.errors.SecondPersonNeeded,
                ids.IdMalformed,
                *web.SUBMIT_REFUSALS,
            ),
        ),
        web.Operation(
            method="DELETE",
            path="/v1/callbacks/{callback}/keys/{key_id}",
            name="revoke_callback_key",
            summary="Let a callback be signed with a key no more",
            tag=_TAG,
            scope="callbacks:write",
            is_bank_wide=True,
            handler=desk.revoke_key,
            answers={200: dict},
            path_types={"callback": str, "key_id": KeyIdText},
            refusals=(
                CallbackKeyUnknown,
                CallbackUnknown,
                ids.IdMalformed,
                *web.SUBMIT_REFUSALS,
            ),
        ),
    )
