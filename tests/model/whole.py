"""The model of the whole bank: what moves money, and who may."""

from tests.model import commands, customers, layout, operators
from tests.model.operators import Operators


class Bank(Operators):
    """Every command that the model knows, and what it does."""

    handlers = commands.HANDLERS | customers.HANDLERS | operators.HANDLERS
    fields = layout.FIELDS | customers.FIELDS | operators.FIELDS


#: Tags of the commands that the model works on.
KNOWN = frozenset(Bank.handlers)
#: Kinds of records that the model keeps its own of: addresses, proofs, passkeys, codes, devices,
#: sessions, refresh tokens; operators; mandates and what a day has used; approvals.
KINDS = frozenset({*range(101, 108), 121, 501, 502, 521})
