"""Whether somebody is still a customer: from when on periods of retention are counted."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from scudo.fabric import Answer, Command, Entry, Reference, Register
from scudo.identity.commands import Registry
from scudo.identity.errors import AccountsOpen, RelationshipOver
from scudo.identity.events import RelationshipEnded
from scudo.kernel import Prefix, ids, rfc3339

RELATIONSHIP_KIND: Final = 170
_encode: Final = msgspec.json.Encoder().encode

#: Says whether a customer has an account that is not closed; bootstrap has it looked up.
HasOpenAccount = Callable[[int], bool]


class Relationship(msgspec.Struct, frozen=True):
    """A relationship that is over; the record's number is the customer's.

    Attributes:
        ended_at: microseconds of the log's time.
        country: whose law says how long what is kept; ISO 3166-1 number.
        reason_code: why it ended.
        forgotten_at: microseconds of when the person was erased; 0: not yet.
    """

    ended_at: int
    country: int | None
    reason_code: str
    forgotten_at: int = 0


class EndRelationship(Command, frozen=True, tag=170):
    """End the relationship with a customer who has no account any more."""

    customer: int
    reason_code: str


class RelationshipBody(msgspec.Struct, frozen=True):
    """Answer to a relationship that is over."""

    customer_id: str
    ended_at: str


class Relationships:
    """Keeps which relationships are over; there is no record of one that goes on."""

    def __init__(self, registry: Registry, has_open_account: HasOpenAccount) -> None:
        """Keep those of the customers of one registry."""
        self._registry = registry
        self._has_open_account = has_open_account
        self.register: Register[Relationship] = Register(
            RELATIONSHIP_KIND, Relationship, resident=False
        )

    def demand(self, customer: int) -> None:
        """Refuse unless somebody, who was looked up, is still a customer.

        Raises:
            RelationshipOver: they are not.
        """
        if self.register.get(customer) is not None:
            message = "the relationship with this customer is over"
            raise RelationshipOver(message, field="customer_id")

    def forgotten(self, entry: Entry, customer: int) -> None:
        """Note that the person was erased, if the relationship is over."""
        over = self.register.get(customer)
        if over is not None and not over.forgotten_at:
            done = msgspec.structs.replace(over, forgotten_at=entry.ordered_at)
            self.register.put(entry, customer, done)

    # ---- the keeper's port

    @property
    def registers(self) -> tuple[Register[Any], ...]:
        """Registers that it keeps."""
        return (self.register,)

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """What works on each kind of command."""
        return {EndRelationship: self._end}

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """What is known of the relationship."""
        if isinstance(command, EndRelationship):
            yield RELATIONSHIP_KIND, command.customer

    def _end(self, command: EndRelationship, entry: Entry) -> Answer:
        """End a relationship; once.

        Raises:
            CustomerNotFound: there is no such customer.
            RelationshipOver: it is over already.
            AccountsOpen: the customer has an account.
        """
        customer = self._registry.customer(command.customer)
        self.demand(customer.id)
        if self._has_open_account(customer.id):
            message = "the customer has an account that is open"
            raise AccountsOpen(message, field="customer_id")
        now = entry.ordered_at
        self.register.put(
            entry, customer.id, Relationship(now, customer.country, command.reason_code)
        )
        entry.emit(RelationshipEnded(customer.id, command.reason_code))
        body = RelationshipBody(ids.show(Prefix.CUSTOMER, customer.id), rfc3339(now))
        return Answer(200, _encode(body))
