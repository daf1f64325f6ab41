"""What may be asked of the identity room."""

from collections import deque
from typing import Final

import msgspec

from scudo.fabric import Answer, Command, Entry
from scudo.identity.errors import CustomerNotFound, CustomerReferenceTaken
from scudo.identity.events import CustomerRegistered
from scudo.identity.model import Customer, CustomerKind
from scudo.kernel import Prefix, ids

_encode: Final = msgspec.json.Encoder().encode


class RegisterCustomer(Command, frozen=True, tag=101):
    """Register a customer; `country` is an ISO 3166-1 number."""

    reference: str
    kind: CustomerKind
    country: int | None


class CustomerBody(msgspec.Struct, frozen=True):
    """Answer to a customer that was registered."""

    id: str
    reference: str


class Registry:
    """Customers as the one writer sees them: a cache of what is stored."""

    def __init__(self) -> None:
        """Start with an empty cache."""
        self.customers: dict[int, Customer] = {}
        self.by_reference: dict[str, int] = {}
        #: Registered by each open batch, oldest first.
        self.registered: deque[dict[int, Customer]] = deque()

    def customer(self, number: int) -> Customer:
        """Find a customer that was prepared.

        Raises:
            CustomerNotFound: if there is none.
        """
        found = self.customers.get(number)
        if found is None:
            message = "there is no such customer"
            raise CustomerNotFound(message, field="customer_id")
        return found

    def is_known(self, number: int) -> bool:
        """Whether a number that was prepared is a customer's."""
        return number in self.customers

    def add(self, customer: Customer) -> None:
        """Remember a stored customer."""
        self.customers[customer.id] = customer
        self.by_reference[customer.reference] = customer.id

    def register(self, command: RegisterCustomer, entry: Entry) -> Answer:
        """Register a customer; the id is the position of the event.

        Raises:
            CustomerReferenceTaken: if another customer has the reference.
        """
        if command.reference in self.by_reference:
            message = "another customer has this reference"
            raise CustomerReferenceTaken(message, field="reference")
        number = entry.emit(CustomerRegistered(entry.next_position, command.kind, command.country))
        customer = Customer(
            number, command.reference, command.kind, command.country, entry.ordered_at
        )
        self.add(customer)
        self.registered[-1][number] = customer
        entry.undo(self._unregister, customer)
        body = CustomerBody(ids.show(Prefix.CUSTOMER, number), command.reference)
        return Answer(201, _encode(body))

    def _unregister(self, customer: Customer) -> None:
        del self.customers[customer.id]
        del self.by_reference[customer.reference]
        self.registered[-1].pop(customer.id, None)
