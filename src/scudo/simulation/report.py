"""What came of a replay: counts, decision times, and how the alerts fit the labels."""

from array import array
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from scudo.decisions import Outcome
from scudo.fabric import Answer

_CREATED: Final = 201
_DIGITS: Final = len("dec_")
#: Outcomes in the words of a report.
_WORDS: Final = {
    Outcome.ALLOW: "accepted",
    Outcome.REVIEW: "reviewed",
    Outcome.HOLD: "held",
    Outcome.STEP_UP: "stepped_up",
    Outcome.DECLINE: "declined",
    Outcome.BLOCK: "blocked",
}


class _Body(msgspec.Struct):
    decision_id: str


_decode: Final = msgspec.json.Decoder(_Body).decode


class Report(msgspec.Struct, kw_only=True):
    """The result of a replay, as `scudo replay --json` prints it.

    Invariant:
        accepted + reviewed + held + stepped_up + declined + blocked + refused == events.

    Attributes:
        rate: events of this run for each second of it; 0 when none were left to send.
        decide_p50_us, decide_p99_us: of all events; None where the bank does not tell.
        alerts: decisions other than allow.
        precision: share of the alerts that are labelled as fraud; None without alerts.
        recall_by_scenario: share of each scenario's transactions that raised an alert.
        verified: whether the books were found right afterwards; None if nobody looked.
    """

    events: int
    accepted: int = 0
    reviewed: int = 0
    held: int = 0
    stepped_up: int = 0
    declined: int = 0
    blocked: int = 0
    refused: int = 0
    rate: float = 0.0
    decide_p50_us: int | None = None
    decide_p99_us: int | None = None
    alerts: int = 0
    precision: float | None = None
    recall_by_scenario: dict[str, float] = msgspec.field(default_factory=dict)
    verified: bool | None = None


class Tally:
    """Gathers the answers to the rows of a file, in their order, and what was decided.

    Thirteen bytes a row: a decision's number, and the row's label.
    """

    def __init__(self, rows: int) -> None:
        """Expect answers to this many rows."""
        self._decisions = array("q", bytes(8 * rows))
        self._labels = bytearray(rows)

    def label(self, row: int, scenario: int) -> None:
        """Note the label of a row."""
        self._labels[row] = scenario

    def answer(self, row: int, answer: Answer) -> None:
        """Note what a row was answered; a refusal names no decision."""
        if answer.status == _CREATED:
            self._decisions[row] = int(_decode(answer.body).decision_id[_DIGITS:], 16)

    def span(self, rows: int) -> tuple[int, int]:
        """First and last decision among the first `rows` rows; (1, 0) if there is none."""
        made = [number for number in self._decisions[:rows] if number]
        return (made[0], made[-1]) if made else (1, 0)

    async def report(
        self, decided: AsyncIterator[tuple[int, Outcome, int | None]], *, rows: int
    ) -> Report:
        """Join the first `rows` rows with their decisions, both in the order of the log."""
        numbers, row = self._decisions, 0
        outcomes: Counter[Outcome] = Counter()
        times: Counter[int] = Counter()
        alerted: Counter[int] = Counter()
        async for number, outcome, elapsed_us in decided:
            # Rows that were refused have number 0 and are passed over.
            while row < rows and numbers[row] < number:
                row += 1
            if row == rows or numbers[row] != number:
                continue
            outcomes[outcome] += 1
            if elapsed_us is not None:
                times[elapsed_us] += 1
            if outcome is not Outcome.ALLOW:
                alerted[self._labels[row]] += 1
        report = Report(events=rows, refused=rows - outcomes.total())
        for outcome, count in outcomes.items():
            setattr(report, _WORDS[outcome], count)
        report.decide_p50_us = _percentile(times, per_mille=500)
        report.decide_p99_us = _percentile(times, per_mille=990)
        self._judge(report, alerted, self._labels[:rows])
        return report

    @staticmethod
    def _judge(report: Report, alerted: Counter[int], labels: Sequence[int]) -> None:
        report.alerts = alerted.total()
        if report.alerts:
            report.precision = round(1 - alerted[0] / report.alerts, 6)
        for scenario, count in sorted(Counter(labels).items()):
            if scenario:
                report.recall_by_scenario[str(scenario)] = round(alerted[scenario] / count, 6)


def _percentile(times: Counter[int], *, per_mille: int) -> int | None:
    """Smallest value that at least so many of a thousand do not exceed; None of nothing."""
    wanted = -(-times.total() * per_mille // 1000)
    seen = 0
    for value, count in sorted(times.items()):
        seen += count
        if seen >= wanted:
            return value
    return None
