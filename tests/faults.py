"""The fault matrix: cases that the bank must pass, and how each run of `make faults` lists them.

A test says which cases it shows by `@pytest.mark.fault(49, 50)`. The numbers are those of the
matrix that the project was planned with; the wording here is short for it.
"""

from collections.abc import Iterable
from typing import Final

import pytest

CASES: Final = {
    38: "a callback is sent again within its window: accepted once",
    39: "a callback is too old, from the future, or its time is no number: refused",
    40: "a callback's body was written anew, its signature is not ASCII or missing: refused",
    41: "a callback's secret is rotated: old and new are good, a revoked one is not",
    44: "an object of somebody else, on every route: answered like one that is missing",
    45: "hidden fields in a body: refused",
    46: "every route by every lower role: refused",
    47: "an operator grants himself, approves his own proposal, changes a limit alone: refused",
    48: "what one caller may see does not leak to the next over a pooled connection",
    49: "a token that is expired, revoked, from the future, for others, or of another algorithm",
    50: "a stolen token without its key, a proof used again, for another method or address",
    51: "a key or certificate expires: told days before, and what is old stays readable",
    52: "the key service is sealed or down: nothing is decrypted, nothing falls back to plain",
    53: "a ciphertext is moved to another row, column or person: it does not open",
    54: "stuffing, enumeration, guessing of codes: slowed down, and answered alike",
    55: "rows edited, deleted, inserted, reordered, the whole chain computed anew: found",
    56: "log injection, secrets and card numbers on paths of errors: none in the logs",
    57: "bombs of depth, size and number: refused; what other languages would obey: only text",
    59: "decisions or flags are down: the declared posture holds, and no control is switched off",
}


def tell_cases(items: Iterable[pytest.Item]) -> None:
    """Let every report carry the cases that its test shows.

    Raises:
        UsageError: if a test names a case that is not in the matrix.
    """
    for item in items:
        for marker in item.iter_markers("fault"):
            for number in marker.args:
                if number not in CASES:
                    message = f"{item.nodeid} names the case {number}, which tests/faults.py lacks"
                    raise pytest.UsageError(message)
                item.user_properties.append(("fault", number))


def results(reports: Iterable[pytest.TestReport]) -> list[str]:
    """List every case with its result: as bad as the worst of its tests."""
    by_case: dict[int, list[str]] = {number: [] for number in CASES}
    for report in reports:
        if report.when == "call" or report.outcome != "passed":
            for name, number in report.user_properties:
                if name == "fault" and isinstance(number, int):
                    by_case[number].append(report.outcome)
    return [_line(number, outcomes) for number, outcomes in by_case.items()]


def _line(number: int, outcomes: list[str]) -> str:
    if not outcomes:
        result = "NOT SHOWN"
    elif "failed" in outcomes:
        result = "FAILED"
    elif "passed" not in outcomes:
        result = "SKIPPED"
    else:
        result = "passed"
    return f"{number:>3}  {result:<9}  {len(outcomes):>4} tests  {CASES[number]}"
