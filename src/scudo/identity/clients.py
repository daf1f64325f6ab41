"""Clients of the API that two operators let in: what is approved, and then done once."""

from typing import Annotated, Any, Final

import msgspec

from scudo.fabric import Entry, web
from scudo.governance import approvals
from scudo.identity.errors import ScopeUnknown
from scudo.identity.model import CLIENT_SCOPES
from scudo.kernel import Prefix, ids

ISSUE: Final = "issue_client"
ClientName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class ClientChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client that gets a token; with `customer_id` it sees that customer's objects only."""

    name: ClientName
    scopes: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=32)]
    customer_id: Annotated[str, web.id_text(Prefix.CUSTOMER)] | None = None


def client_kinds() -> tuple[approvals.ApprovalKind[Any], ...]:
    """The kinds of change of clients: the token is made, and shown once, to who uses it."""
    return (
        approvals.ApprovalKind(
            name=ISSUE,
            change=ClientChange,
            describe=_describe,
            demand=_demand,
            execute=_leave,
            refusals=(ScopeUnknown, ids.IdMalformed),
            has_owners_way=True,
        ),
    )


def _describe(change: ClientChange) -> approvals.Description:
    diff: dict[str, tuple[Any, Any]] = {
        f"clients.{change.name}": (
            None,
            {"scopes": sorted(set(change.scopes)), "customer_id": change.customer_id},
        )
    }
    effect = f"whoever uses this approval gets a new token of {change.name}, within 24 hours, once"
    return approvals.Description(diff, effect)


def _demand(change: ClientChange, now: int) -> None:
    """Refuse what operators give no client.

    Raises:
        ScopeUnknown: there is no such scope, or it is people's own.
    """
    del now
    beyond = sorted(set(change.scopes) - CLIENT_SCOPES)
    if beyond:
        message = f"no client is given the scope {beyond[0][:64]}"
        raise ScopeUnknown(message, field="change.scopes")
    if change.customer_id is not None:
        ids.parse(Prefix.CUSTOMER, change.customer_id, field="change.customer_id")


def _leave(change: ClientChange, entry: Entry, decided: approvals.Decided) -> None:
    """Nothing yet: the token is made where the approval is used."""
    del change, entry, decided
