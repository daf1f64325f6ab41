"""What the vault says was read, as the audit trail has it."""

from scudo import vault
from scudo.fabric import web
from scudo.governance import Act
from scudo.kernel import Prefix, ids


def act_of(fact: vault.Fact, call: web.Call, network: int | None) -> Act:
    """A fact of the vault as the audit trail has it; `network` is a token of where it was asked."""
    is_person = fact.subject_kind == "person"
    prefix = Prefix.CUSTOMER if is_person else Prefix.CARD_REFERENCE
    subject = ids.show(prefix, fact.subject) if fact.subject else prefix
    return Act(
        actor=call.client.id,
        actor_kind=call.client.kind,
        act=f"vault.{fact.operation}_{fact.field}",
        object=subject,
        whose=fact.subject if is_person and fact.subject else None,
        result="done" if fact.result == "given" else fact.result,
        reason=f"{fact.purpose}:{fact.reason}",
        network=network,
        trace=call.trace_id,
    )
