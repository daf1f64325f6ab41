"""What the decisions room does when events come by."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.decisions.events import (
    AlertRaised,
    DecisionDegraded,
    PassageDecided,
    PassageFlagged,
)
from scudo.decisions.gate import Rescore
from scudo.decisions.store import add_alerts, find_decision
from scudo.fabric import Answer, Command, Event, Recorded
from scudo.kernel import instant

#: Hands a command to the writer under a key that makes it act once.
Act = Callable[[Command, str], Awaitable[Answer]]


class Alerts:
    """Opens an alert for every decision that asks for a person's eyes."""

    name: Final = "decisions.alerts"
    wants: Final[frozenset[type[Event]]] = frozenset({AlertRaised, PassageFlagged})

    async def take(self, connection: AsyncConnection[TupleRow], page: Sequence[Recorded]) -> None:
        """Open the alerts that the events tell of."""
        await add_alerts(connection, [_alert(recorded) for recorded in page])


class Rescoring:
    """Has every degraded decision judged again, now that the engine answers."""

    name: Final = "decisions.rescoring"
    wants: Final[frozenset[type[Event]]] = frozenset({DecisionDegraded, PassageDecided})

    def __init__(self, act: Act) -> None:
        """Act through the writer."""
        self._act = act

    async def take(self, connection: AsyncConnection[TupleRow], page: Sequence[Recorded]) -> None:
        """Hand degraded decisions to the writer, to be judged again."""
        for recorded in page:
            event = recorded.event
            assert isinstance(event, (DecisionDegraded, PassageDecided)), "it wants nothing else"
            if isinstance(event, PassageDecided) and not event.degraded:
                continue
            found = await find_decision(connection, event.decision)
            assert found is not None, "a decision's record is in the entry of its event"
            payment, record = found
            await self._act(
                Rescore(event.decision, payment, record.event, record.outcome),
                f"{self.name}:{event.decision}",
            )


def _alert(recorded: Recorded) -> dict[str, Any]:
    event = recorded.event
    assert isinstance(event, (AlertRaised, PassageFlagged)), "it wants nothing else"
    return {
        "id": event.alert,
        "decision": event.decision,
        "subject": event.payment if isinstance(event, AlertRaised) else 0,
        "outcome": event.outcome,
        "opened_at": instant(recorded.ordered_at),
    }
