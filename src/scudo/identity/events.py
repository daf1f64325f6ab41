"""What the identity room tells the log."""

from typing import ClassVar

from scudo.fabric import Event
from scudo.kernel import ids


class CustomerRegistered(Event, frozen=True, tag=101):
    """A customer was registered."""

    name: ClassVar[str] = "identity.customer.registered.v1"

    customer: ids.CustomerId
    kind: int
    country: int | None


class RelationshipEnded(Event, frozen=True, tag=170):
    """A customer is one no more: what is kept of them is kept for the law's sake from now on."""

    name: ClassVar[str] = "identity.relationship.ended.v1"

    customer: ids.CustomerId
    reason_code: str
