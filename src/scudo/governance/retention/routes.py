"""The HTTP operation of retention: what is kept, why, for how long, and what is overdue."""

from dataclasses import dataclass
from typing import Final

from scudo.fabric import web
from scudo.governance.retention.keeping import Retention
from scudo.governance.retention.reporting import Report, report
from scudo.kernel import micros

_TAG: Final = "retention"


@dataclass(frozen=True, slots=True)
class _Desk:
    retention: Retention
    clock: web.Clock

    async def get_retention(self, call: web.Call) -> web.Reply:
        del call
        return web.Reply(200, report(self.retention, micros(self.clock())))


def operations(*, retention: Retention, clock: web.Clock) -> tuple[web.Operation, ...]:
    """List the operation; holds are placed and lifted by approvals."""
    desk = _Desk(retention, clock)
    return (
        web.Operation(
            method="GET",
            path="/v1/retention",
            name="get_retention",
            summary="Show how long what is kept, what the last run found, and legal holds",
            tag=_TAG,
            scope="retention:read",
            is_bank_wide=True,
            handler=desk.get_retention,
            answers={200: Report},
            refusals=web.READ_REFUSALS,
        ),
    )
