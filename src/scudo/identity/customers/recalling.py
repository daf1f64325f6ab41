"""What throttles knew before a restart, read back from the audit trail's newest failures.

Without it a restart would give everybody who guesses a fresh allowance. Failures that a good
proof has forgiven since are counted again, and the trail is behind the log by moments: both are
a few attempts of ten, and end with the hour. Mails are not counted again: codes have tries of
their own, in the log.
"""

from typing import Final

from scudo.governance import trail
from scudo.identity.customers.errors import LogInRefused
from scudo.identity.customers.model import NOBODY
from scudo.identity.customers.office import Office
from scudo.identity.customers.throttle import ACCOUNT, DEVICE, NETWORK, Key, known_device
from scudo.kernel import micros

#: Of strangers' acts so many are looked through, the newest, however many there are.
LOOKED_THROUGH: Final = 2_000
LOG_IN: Final = "log_in"
_ACT: Final = "identity.log_in"


async def recall_failures(office: Office) -> int:
    """Count the log-ins that failed within the last hour; gives how many there were."""
    newest = trail.Search(actor=NOBODY, limit=LOOKED_THROUGH)
    async with office.ports.reads() as connection:
        rows = await trail.find_acts(connection, newest)
    since = office.ports.now() - ACCOUNT.forgotten_us
    counted = 0
    addresses: dict[int, int] = {}
    for _, at, _, _, act, _, whose, result, _, network, device, _ in reversed(rows):
        if act != _ACT or micros(at) <= since:
            continue
        keys: list[Key] = [] if network is None else [(NETWORK, LOG_IN, network)]
        if whose and result == LogInRefused.code:
            keys += await _own(office, whose, device, addresses)
        office.throttle.recall(keys, at=micros(at))
        counted += 1
    return counted


async def _own(
    office: Office,
    customer: int,
    device: int | None,
    addresses: dict[int, int],
) -> list[Key]:
    """The allowances of an account that a failed password counts among."""
    if customer not in addresses:
        account = await office.find(office.store.accounts, customer)
        addresses[customer] = 0 if account is None else account.address
    keys: list[Key] = [(ACCOUNT, LOG_IN, addresses[customer])]
    if device is not None:
        # It counts where the account knows the device, and is never asked for elsewhere.
        keys.append((DEVICE, LOG_IN, known_device(customer, device)))
    return keys
