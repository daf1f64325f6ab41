"""Mandates where a log begins."""

import json

from scudo.fabric import Batch, Head, Records
from scudo.governance import ApproveMandate, Mandates, Terms
from scudo.kernel import GENESIS, Prefix, ids


def test_a_logs_first_entry_puts_no_standing_mandate_out_of_force():
    """A new mandate has a number of its own, also where numbers are those of the standing ones."""
    mandates = Mandates()
    Records(mandates.registers).begin()
    opening = mandates.terms(1)
    batch = Batch(Head(1, 0, 1, 0, GENESIS, "unset"), recorded_at=2)
    entry = batch.entry(client=1, owner=None, now=2, at=None)

    answer = mandates.approve(ApproveMandate(0, Terms("rent", "facilities")), entry)

    number = ids.parse(Prefix.MANDATE, json.loads(answer.body)["id"])
    assert mandates.terms(number).name == "rent"
    assert mandates.terms(1) == opening
