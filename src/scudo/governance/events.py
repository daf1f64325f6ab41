"""What the governance room tells the log."""

from typing import Annotated, ClassVar

from scudo.fabric import INSTANT, Event
from scudo.kernel import ids


class ActRecorded(Event, frozen=True, tag=501):
    """Somebody did, or was refused, an act that must be known: the audit trail of one act.

    Attributes:
        act_id: position of this event.
        actor: number of the client, customer, operator or partner; 0 is nobody, or the bank.
        actor_kind: as `fabric.web.PrincipalKind` counts.
        act: what was done, `room.verb_noun`.
        object: what it was done to, as clients see its id; empty if there is no one thing.
        whose: number of the customer whose data or money it was; None: nobody's.
        result: `done`, or the code of the refusal.
        reason: why, as the actor said: a code or the number of a case; no free text.
        network, device: keyed tokens of where it came from.
        trace: names the request in logs.
    """

    name: ClassVar[str] = "governance.act.recorded.v1"

    act_id: ids.EventId
    actor: int
    actor_kind: int
    act: str
    object: str
    whose: ids.CustomerId | None
    result: str
    reason: str
    network: ids.NetworkToken | None
    device: ids.DeviceToken | None
    trace: str


class MandateApproved(Event, frozen=True, tag=502):
    """A mandate was put into force, or changed: what it allows is a record of the same entry.

    Attributes:
        version: of the record.
        called: its name, a code.
        approved_by: number of the client that did it alone; 0: two people, or the bank itself.
        digest: SHA-256 of the record's body, in hex; the record names the approval of two people.
    """

    name: ClassVar[str] = "governance.mandate.approved.v1"

    mandate: ids.MandateId
    version: int
    called: str
    approved_by: int
    digest: str


class RootUnapproved(Event, frozen=True, tag=503):
    """The vault has another root, and no two people wanted it; whoever is on call is paged.

    Attributes:
        notice: position of this event.
        before, after: ids of the roots, in hex.
    """

    name: ClassVar[str] = "governance.root.unapproved.v1"

    notice: ids.EventId
    before: str
    after: str
    severity: str


class CallbackKeyAdded(Event, frozen=True, tag=530):
    """A callback may be signed with a further key; the others are good for a while yet.

    Attributes:
        key: position of this event.
        callback: number of the callback in the inventory.
        algorithm: version of Standard Webhooks, `v1` or `v1a`.
        others_until: when the keys before it end.
    """

    name: ClassVar[str] = "governance.callback_key.added.v1"

    key: ids.EventId
    callback: int
    algorithm: str
    others_until: Annotated[int, INSTANT]


class CallbackKeyRevoked(Event, frozen=True, tag=531):
    """A callback can be signed with a key no more."""

    name: ClassVar[str] = "governance.callback_key.revoked.v1"

    key: ids.EventId
    callback: int


class CallbackPinged(Event, frozen=True, tag=532):
    """A partner said that it is there, signed with a key that is good."""

    name: ClassVar[str] = "governance.callback.pinged.v1"

    ping: ids.EventId
    callback: int
    sequence: int


class AnomalyFound(Event, frozen=True, tag=540):
    """Somebody of the bank did something more often than is usual.

    Attributes:
        anomaly: position of this event.
        actor, actor_kind: who, as in `ActRecorded`.
        rule: which rule of `anomalies/thresholds.toml`.
        severity: low, medium, high or critical.
        period: the hour or day in which it was counted, by its beginning.
        count: how often, when it was told.
        usual: the actor's own mean; 0 where there is none.
    """

    name: ClassVar[str] = "governance.anomaly.found.v1"

    anomaly: ids.EventId
    actor: int
    actor_kind: int
    rule: str
    severity: str
    period: Annotated[int, INSTANT]
    count: int
    usual: int


class ControlDegraded(Event, frozen=True, tag=541):
    """A control does not work as it should; its owner is paged.

    Attributes:
        notice: position of this event.
        control: its name in `controls/ownership.toml`.
        owner: which team answers for it.
        pages: who is paged.
    """

    name: ClassVar[str] = "governance.control.degraded.v1"

    notice: ids.EventId
    control: str
    owner: str
    pages: str


class ControlEscalated(Event, frozen=True, tag=542):
    """A control has been degraded for longer than it may be.

    Attributes:
        level: from 1; each level is told once.
        since: when it was degraded, by our clock.
        partner: who of security is told.
        approver: who may approve an emergency change.
    """

    name: ClassVar[str] = "governance.control.escalated.v1"

    notice: ids.EventId
    control: str
    level: int
    since: Annotated[int, INSTANT]
    partner: str
    approver: str


class ControlRestored(Event, frozen=True, tag=543):
    """A control works again.

    Attributes:
        since: when it was degraded, by our clock.
    """

    name: ClassVar[str] = "governance.control.restored.v1"

    notice: ids.EventId
    control: str
    since: Annotated[int, INSTANT]
