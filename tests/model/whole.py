"""The model of the whole bank: what moves money, and who may."""

from tests.model import commands, customers, layout, operators
from tests.model.operators import Operators


class Bank(Operators):
    """Every command that the model knows, and what it does."""

    handlers = commands.HANDLERS | customers.HANDLERS | operators.HANDLERS
    fields = layout.FIELDS | customers.FIELDS | operators.FIELDS


#: Tags of the commands that the model works on.
KNOWN = frozenset(Bank.handlers)
