"""`scudo why`: a payment's decision in words, with its facts, and decided once more."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from scudo import decisions, ledger, payments
from scudo.bootstrap import CATALOGUE
from scudo.decisions import DecisionRecord, Gate, Outcome, Policy
from scudo.fabric import Recorded, queries, read_log
from scudo.interfaces.cli.errors import IdUnknown
from scudo.interfaces.cli.installing import opened, settings_now
from scudo.interfaces.cli.terminal import NOT_OK, OK, Terminal
from scudo.kernel import Money, Prefix, currency_by_numeric, ids, rfc3339
from scudo.ledger import AuthorityKind, TransferKind
from scudo.payments import PaymentStatus
from scudo.simulation import Redecided, redecide

_COLOURS: Final = {
    Outcome.ALLOW: "green",
    Outcome.REVIEW: "yellow",
    Outcome.HOLD: "yellow",
    Outcome.STEP_UP: "cyan",
    Outcome.DECLINE: "red",
    Outcome.BLOCK: "red",
}
_LOG: Final = queries("scudo.fabric")
_ALERTS: Final = (decisions.events.AlertRaised, decisions.events.PassageFlagged)
#: Movements of an account that are looked through for those of one payment.
_MOVEMENTS: Final = 1_000
_VERSIONS_MAX: Final = (1 << 63) - 1


class Moved(msgspec.Struct, frozen=True):
    """One transfer that the decision is the authority of; money in minor units."""

    id: str
    kind: str
    amount_minor: int
    held_minor: int
    debit_account: str
    credit_account: str


class Replayed(msgspec.Struct, frozen=True):
    """What came of making the decision again, and every one before it."""

    decisions: int
    identical: bool
    first_difference: str | None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `scudo why` tells.

    Attributes:
        mattered: features that a rule read which took part, with their values.
    """

    payment_id: str
    decision_id: str
    status: str
    outcome: str
    headline: str
    sentences: tuple[str, ...]
    public_reason: str
    rules: tuple[str, ...]
    amount: str
    amount_minor: int
    currency: str
    channel: str | None
    account_id: str
    ordered_at: str
    mattered: dict[str, int | None]
    features: dict[str, int | None]
    policy: str
    policy_hash: str
    log_position: int
    elapsed_us: tuple[int, int, int]
    transfers: tuple[Moved, ...]
    replay: Replayed | None = None


class WhyPassed(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `scudo why` tells of a decision on a log-in and the like.

    Attributes:
        who: id of the customer or operator; None: there was none yet.
        mattered: features that a rule read which took part, with their values.
    """

    decision_id: str
    gate: str
    who: str | None
    outcome: str
    headline: str
    sentences: tuple[str, ...]
    public_reason: str
    rules: tuple[str, ...]
    ordered_at: str
    mattered: dict[str, int | None]
    features: dict[str, int | None]
    policy: str
    policy_hash: str
    log_position: int
    elapsed_us: tuple[int, int, int]
    replay: Replayed | None = None


def why(text: str, *, wants_replay: bool, is_json: bool) -> int:
    """Explain one payment, decision or alert."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with opened(settings) as dsn:
        told = asyncio.run(tell(dsn.read, text, terminal, wants_replay=wants_replay))
    terminal.say(panel_of(told))
    terminal.give(told)
    return NOT_OK if told.replay is not None and not told.replay.identical else OK


async def tell(dsn: str, text: str, terminal: Terminal, *, wants_replay: bool) -> Why | WhyPassed:
    """Find the decision that an id leads to, and explain it.

    Args:
        dsn: of the bank's database, as somebody who reads.
        text: id of a payment, a decision or an alert.
        terminal: shows how far it is.
        wants_replay: whether every decision up to it is made again.

    Raises:
        IdUnknown: it leads to none.
        PolicyMismatch: it was made by another policy.
    """
    policies = (decisions.load_policy(), decisions.load_access_policy())
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        decision = await _decision_of(connection, text)
        found = await decisions.find_decision(connection, decision)
        told: Why | WhyPassed
        if found is not None and found[1].event.gate in decisions.PASSAGES:
            told = _passed(decision, found[1], policies[1])
        else:
            told = await explained(connection, decision, policies[0])
        if not wants_replay:
            return told
        with terminal.progress("Deciding again") as step:
            redecided = await redecide(
                connection,
                policies,
                through=decision,
                watch=lambda done: step(done, done, "decisions"),
            )
    return msgspec.structs.replace(told, replay=_replayed(redecided))


async def _decision_of(connection: AsyncConnection[TupleRow], text: str) -> int:
    """Find the decision that a payment's, a decision's or an alert's id leads to.

    Raises:
        IdUnknown: to none.
    """
    message = f"there is no payment, decision or alert {text}"
    match text.partition("_")[0]:
        case Prefix.PAYMENT:
            payment = await payments.queries.find_payment(
                connection, ids.parse(Prefix.PAYMENT, text)
            )
            if payment is not None and payment.decision:
                return payment.decision
        case Prefix.DECISION:
            return ids.parse(Prefix.DECISION, text)
        case Prefix.ALERT:
            number = ids.parse(Prefix.ALERT, text)
            for recorded in await _entry_at(connection, number):
                event = recorded.event
                if isinstance(event, _ALERTS) and event.alert == number:
                    return event.decision
        case _:
            pass
    raise IdUnknown(message)


async def _entry_at(connection: AsyncConnection[TupleRow], position: int) -> Sequence[Recorded]:
    """Read the entry of the log that holds a position."""
    cursor = await connection.execute(_LOG["entry_start"], {"position": position})
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        return ()
    found, _ = await read_log(connection, CATALOGUE, after=row[0] - 1, limit=1)
    return found


async def explained(connection: AsyncConnection[TupleRow], decision: int, policy: Policy) -> Why:
    """Put together everything that is known of a decision.

    Raises:
        IdUnknown: there is no such decision.
        PolicyMismatch: it was made by another policy.
    """
    found = await decisions.find_decision(connection, decision)
    payment = None
    if found is not None:
        payment = await payments.queries.find_payment(connection, found[0])
    if found is None or payment is None:
        message = f"there is no decision {ids.show(Prefix.DECISION, decision)}"
        raise IdUnknown(message)
    _, record = found
    explanation = decisions.explain(record, policy=policy)
    event = record.event
    money = Money(event.amount_minor, currency_by_numeric(event.currency))
    features = dict(zip(policy.features.names, record.features, strict=True))
    return Why(
        payment_id=ids.show(Prefix.PAYMENT, payment.id),
        decision_id=ids.show(Prefix.DECISION, decision),
        status=PaymentStatus(payment.status).name.lower(),
        outcome=record.outcome.name.lower(),
        headline=explanation.headline,
        sentences=explanation.sentences,
        public_reason=explanation.public_reason,
        rules=tuple(reason.rule for reason in explanation.reasons),
        amount=str(money),
        amount_minor=money.minor,
        currency=money.currency.code,
        channel=None if event.channel is None else event.channel.name.lower(),
        account_id=ids.show(Prefix.ACCOUNT, event.account),
        ordered_at=rfc3339(record.ordered_at),
        mattered=_mattered(record, policy, features),
        features=features,
        policy=policy.name,
        policy_hash=record.policy.hex(),
        log_position=record.position,
        elapsed_us=record.elapsed_us,
        transfers=await _moved(connection, event.account, decision),
    )


def _passed(decision: int, record: DecisionRecord, policy: Policy) -> WhyPassed:
    """Put together everything that is known of a decision on no payment.

    Raises:
        PolicyMismatch: it was made by another policy.
    """
    explanation = decisions.explain(record, policy=policy)
    event = record.event
    is_operator = event.gate is Gate.OPERATOR_ACT
    prefix = Prefix.OPERATOR if is_operator else Prefix.CUSTOMER
    features = dict(zip(policy.features.names, record.features, strict=True))
    return WhyPassed(
        decision_id=ids.show(Prefix.DECISION, decision),
        gate=event.gate.name.lower(),
        who=ids.show(prefix, event.customer) if event.customer else None,
        outcome=record.outcome.name.lower(),
        headline=explanation.headline,
        sentences=explanation.sentences,
        public_reason=explanation.public_reason,
        rules=tuple(reason.rule for reason in explanation.reasons),
        ordered_at=rfc3339(record.ordered_at),
        mattered=_mattered(record, policy, features),
        features=features,
        policy=policy.name,
        policy_hash=record.policy.hex(),
        log_position=record.position,
        elapsed_us=record.elapsed_us,
    )


def _mattered(
    record: DecisionRecord, policy: Policy, features: dict[str, int | None]
) -> dict[str, int | None]:
    read = {name for hit in record.hits for name in policy.rules[max(hit, ~hit)].reads}
    return {name: value for name, value in features.items() if name in read}


async def _moved(
    connection: AsyncConnection[TupleRow], account: int, decision: int
) -> tuple[Moved, ...]:
    entries = await ledger.queries.list_account_entries(
        connection, account=account, before=_VERSIONS_MAX, limit=_MOVEMENTS
    )
    return tuple(
        Moved(
            ids.show(Prefix.TRANSFER, entry.transfer),
            TransferKind(entry.kind).name.lower(),
            entry.amount,
            entry.held,
            ids.show(Prefix.ACCOUNT, entry.debit_account),
            ids.show(Prefix.ACCOUNT, entry.credit_account),
        )
        for entry in reversed(entries)
        if entry.authority == decision and entry.authority_kind == AuthorityKind.DECISION
    )


def _replayed(redecided: Redecided) -> Replayed:
    difference = redecided.difference
    words = None
    if difference is not None:
        words = (
            f"{ids.show(Prefix.DECISION, difference.decision)} {difference.member}:"
            f" recorded {difference.recorded}, recomputed {difference.recomputed}"
        )
    return Replayed(redecided.decisions, redecided.is_identical, words)


def panel(told: Why, *, stays: bool = True) -> Panel:
    """Show an explanation: the words first, then the facts behind them.

    Args:
        told: what is known.
        stays: whether the bank will be there when the reader wants to ask again.
    """
    return _panel(told, _facts(told, stays=stays), of=f"{told.amount}  [dim]{told.payment_id}[/]")


def panel_of(told: Why | WhyPassed) -> Panel:
    """Show an explanation of whatever was decided."""
    if isinstance(told, Why):
        return panel(told)
    facts = {"what": f"{told.gate.replace('_', ' ')} of {told.who or 'somebody new'}"}
    facts["when"] = _when(told)
    facts["now"] = f"who asked is told: {told.public_reason}"
    facts |= _because(told) | _decided(told, stays=True)
    return _panel(told, facts, of=f"[dim]{told.decision_id}[/]")


def _panel(told: Why | WhyPassed, facts: dict[str, str], *, of: str) -> Panel:
    colour = _COLOURS[Outcome[told.outcome.upper()]]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for number, sentence in enumerate(told.sentences):
        table.add_row("" if number else "why", escape(sentence))
    for name, value in facts.items():
        table.add_row(name, escape(value))
    title = f"[{colour}]{told.outcome.replace('_', '-')}[/]  {of}"
    return Panel(table, title=title, title_align="left", border_style=colour, padding=(0, 1))


def _when(told: Why | WhyPassed) -> str:
    return told.ordered_at[:19].replace("T", " ") + " UTC"


def _because(told: Why | WhyPassed) -> dict[str, str]:
    if not told.mattered:
        return {}
    values = (
        f"{name} = {'none' if value is None else f'{value:,}'}"
        for name, value in told.mattered.items()
    )
    return {"because": ", ".join(values)}


def _facts(told: Why, *, stays: bool) -> dict[str, str]:
    channel = (told.channel or "unknown channel").replace("_", " ")
    facts = {"what": f"{told.amount} from {told.account_id}, {channel}", "when": _when(told)}
    facts["now"] = f"{told.status}; the customer is told: {told.public_reason}"
    facts |= _because(told)
    for moved in told.transfers:
        amount = moved.amount_minor or moved.held_minor
        facts[moved.kind] = f"{amount:,} minor units to {moved.credit_account} ({moved.id})"
    return facts | _decided(told, stays=stays)


def _decided(told: Why | WhyPassed, *, stays: bool) -> dict[str, str]:
    facts = {}
    facts["decided"] = (
        f"{told.decision_id}, policy {told.policy} {told.policy_hash[:8]}, in"
        f" {sum(told.elapsed_us)} microseconds, from the log up to {told.log_position:,}"
    )
    if told.replay is None:
        if stays:
            facts["again"] = f"scudo why {told.decision_id} --replay"
    elif told.replay.identical:
        facts["again"] = f"{told.replay.decisions:,} decisions recomputed from the log: identical"
    else:
        facts["again"] = f"DIFFERS: {told.replay.first_difference}"
    return facts
