"""HTTP operation of the edge's limits: they are looked at here, and set by approvals only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from scudo.fabric import web
from scudo.governance.edge_limits.declaring import Allowance, Filters, Tier
from scudo.governance.edge_limits.keeping import EdgeLimits, over
from scudo.kernel import Prefix, ids, rfc3339

_TAG: Final = "limits"

ApprovalIdText = Annotated[str, web.id_text(Prefix.APPROVAL)]


class EdgeLimitsView(msgspec.Struct, frozen=True):
    """What the edge accepts; without an approval it is the shipped file."""

    tiers: Mapping[str, Tier]
    networks: Mapping[str, Allowance]
    filters: Filters
    set_at: str | None
    approval_id: ApprovalIdText | None


@dataclass(frozen=True, slots=True)
class _Desk:
    limits: EdgeLimits
    reads: web.Reads

    async def get(self, call: web.Call) -> web.Reply:
        del call
        async with self.reads() as connection:
            setting = await self.limits.stored(connection)
        shipped = self.limits.shipped
        rules = shipped if setting is None else over(shipped, setting.rules)
        return web.Reply(
            200,
            EdgeLimitsView(
                tiers=rules.tiers,
                networks=rules.networks,
                filters=rules.filters,
                set_at=None if setting is None else rfc3339(setting.set_at),
                approval_id=None
                if setting is None
                else ids.show(Prefix.APPROVAL, setting.approval),
            ),
        )


def operations(*, limits: EdgeLimits, reads: web.Reads) -> tuple[web.Operation, ...]:
    """List the operations of the edge's limits."""
    desk = _Desk(limits, reads)
    return (
        web.Operation(
            method="GET",
            path="/v1/edge-limits",
            name="get_edge_limits",
            summary="Show what the edge accepts: tiers, networks, shapes",
            tag=_TAG,
            scope="limits:read",
            is_bank_wide=True,
            handler=desk.get,
            answers={200: EdgeLimitsView},
            refusals=web.READ_REFUSALS,
        ),
    )
