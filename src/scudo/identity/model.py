"""The smallest identity that owns accounts: customers, and clients of the API."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

#: Everything a token can be allowed to do.
SCOPES: Final = frozenset(
    {
        "customers:read",
        "customers:write",
        "accounts:read",
        "accounts:write",
        "payments:read",
        "payments:write",
        "payments:operate",
        "payments:refund",
        "journals:write",
        "mandates:write",
        "decisions:read",
        "callbacks:read",
        "callbacks:write",
        "audit:read",
        "flags:read",
        "limits:read",
        "retention:read",
        "events:read",
        "clients:write",
        "partners:read",
        "partners:write",
        "clock:drive",
        "persons:read",
        "persons:write",
        "persons:erase",
        "persons:export",
        "cards:read",
        "cards:write",
    }
)


#: What two operators may give a client: nothing that gives others access, changes what controls
#: money, or drives the log's clock. That is people's own.
CLIENT_SCOPES: Final = SCOPES - {
    "clock:drive",
    "clients:write",
    "partners:write",
    "callbacks:write",
    "mandates:write",
    "persons:erase",
}


class CustomerKind(IntEnum):
    """A natural person or a business."""

    PERSON = 1
    BUSINESS = 2


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer, known by the reference that the client gave.

    Attributes:
        country: ISO 3166-1 number.
        registered_at: microseconds.
    """

    id: int
    reference: str
    kind: CustomerKind
    country: int | None
    registered_at: int
