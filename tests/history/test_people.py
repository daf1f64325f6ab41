"""The laws of people checked: these defects are planted in a bank, and must be found.

The first test shows that the same customers and operators find a sound bank sound; the last,
that a diary which does not fit the log is told.
"""

import re
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.customers import CustomersBank, serving
from tests.history import deeds
from tests.history.check import check
from tests.history.decided import decision_problems
from tests.history.deeds import Deed
from tests.history.lives import people_problems
from tests.history.people import Customer, Officers
from tests.model.replay import read_stored

from scudo.governance import approvals
from scudo.identity import operators
from scudo.identity.customers import events
from scudo.identity.customers.log_in import LogIns
from scudo.identity.customers.store import CustomerStore


class Mailed(Customer):
    """A customer who reads mail as it comes."""

    bank: CustomersBank

    def _code(self, address: str) -> str | None:
        return self.bank.mailbox.code(address)


def lived(database: Any, folder: Path) -> tuple[Any, list[Deed]]:
    """Have people live at a bank; what is stored then, and what they did."""
    diaries = folder / "diaries"
    diaries.mkdir()
    with serving(database.dsn, folder) as bank:
        bank.store.gates = bank.bank.rooms.passages
        port = int(bank.url.rpartition(":")[2])
        made = [operators.new_token("scudo_inv_") for _ in range(2)]
        founders = operators.EnrolFirst(("anna", "bela"), (made[0][1], made[1][1]))
        assert bank.run(bank.bank.submit(founders)).status == 201
        diary = diaries / "officers.jsonl"
        with closing(Officers(port=port, diary=diary, random=Random(2))) as officers:
            officers.found([token for token, _ in made])
            officers.work(30)
            officers.leave()
        random, diary = Random(3), diaries / "phone.jsonl"
        with closing(
            Mailed("phone", port=port, mail=folder, diary=diary, random=random)
        ) as customer:
            customer.bank = bank
            customer.work(40)
    return read_stored(database.dsn.read), deeds.read(sorted(diaries.glob("*.jsonl")))


def problems_of(stored: Any, done: list[Deed]) -> list[str]:
    return check(stored, []) + decision_problems(stored) + people_problems(stored, done)


def token_kept(patch: Any) -> None:
    """A refresh token is not used up."""
    change = CustomerStore.change

    def plant(self: Any, entry: Any, register: Any, number: int, **changes: Any) -> Any:
        changes.pop("spent_at", None)
        return change(self, entry, register, number, **changes)

    patch.setattr(CustomerStore, "change", plant)


def reuse_forgiven(patch: Any) -> None:
    """A used refresh token is refused, and its session goes on."""
    patch.setattr(LogIns, "_misused", _without_end(LogIns._misused))


def _without_end(misused: Any) -> Any:
    def plant(self: Any, entry: Any, session: int, code: str, network: int) -> Any:
        entry.take_back()
        return misused(self, entry, session, code, network)

    return plant


def session_kept(patch: Any) -> None:
    """A session that is ended is told to have ended, and goes on."""

    def plant(self: Any, entry: Any, number: int, *, code: str) -> None:
        entry.emit(events.SessionEnded(number, self.sessions.get(number).customer, code))

    patch.setattr(CustomerStore, "end_session", plant)


def proposal_kept(patch: Any) -> None:
    """A proposal that was carried out is open still."""
    patch.setattr(
        approvals.Approvals, "_pending", lambda self, number, now: self.register.get(number)
    )


def second_person_skipped(patch: Any) -> None:
    """Whoever has proposed may approve."""
    patch.setattr(approvals.commands, "ApprovedByProposer", _NeverRaised)


class _NeverRaised(approvals.errors.ApprovalEnded):
    """Stands in for a refusal that is not the right one."""


def role_twice(patch: Any) -> None:
    """A change is carried out twice."""
    for kind in ("grant", "drop"):
        roles = operators.kinds._Roles
        patch.setattr(roles, kind, _twice(getattr(roles, kind)))


def _twice(work: Any) -> Any:
    def plant(*arguments: Any) -> None:
        work(*arguments)
        work(*arguments)

    return plant


#: Each defect, and what must be said of it.
DEFECTS = {
    token_kept: "worked 2 times|not in the log once|status is",
    reuse_forgiven: "events is",
    session_kept: "a session that was ended worked",
    proposal_kept: "approval_ended|carried out",
    second_person_skipped: "approved_by_proposer",
    role_twice: "carried out",
}


def test_a_sound_bank_is_found_sound(database, tmp_path):
    """Customers and operators, thieves among them, are told nothing that the model would not."""
    stored, done = lived(database, tmp_path)

    assert problems_of(stored, done) == []
    seen = {deed.what for deed in done}
    assert seen >= {"refresh", "look", "log_in", "end_one", "propose", "approve", "leave", "use"}


@pytest.mark.parametrize(
    ("defect", "complaint"), DEFECTS.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_planted_defect_is_found(database, tmp_path, monkeypatch, defect, complaint):
    """A bank with this defect is found out, whether or not anybody noticed."""
    defect(monkeypatch)
    found: list[str] = []
    try:
        found = problems_of(*lived(database, tmp_path))
    except AssertionError as error:
        # Somebody could not go on at all: that is found, too.
        found = [f"status is {error}"]
    assert any(re.search(complaint, problem) for problem in found), found[:5]


def deed(what: str, status: int, at: int, about: dict[str, Any], **told: Any) -> Deed:
    return Deed("somebody", what, about, at, at + 1, status, told)


WHO = {"customer": "cus_1"}
#: Deeds that no log can fit, and what must be said of them.
FORGED = {
    "an erased person came back": (
        deed("erase", 200, 1, WHO),
        deed("find", 200, 5, WHO, customer_ids=["cus_1"]),
    ),
    "a person was acknowledged and lost": (deed("put", 200, 1, WHO), deed("read", 404, 5, WHO)),
    "nobody told the log": (deed("erase", 200, 1, WHO),),
    "an operator's session that was ended worked": (
        deed("leave", 204, 1, {"token": "t"}),
        deed("use", 200, 5, {"token": "t"}),
    ),
    "a proposal was acknowledged and lost": (deed("propose", 201, 1, {}, id="apr_1"),),
    "an approval was acknowledged and lost": (
        deed("approve", 200, 1, {"approval": "apr_1", "by": "opr_1"}),
    ),
    "a refusal left no trace": (
        deed("approve", 403, 1, {"approval": "apr_1", "by": "opr_1"}, code="approver_unripe"),
    ),
    "a session was told of and is lost": (
        deed("log_in", 201, 1, {}, session_id="ses_1", customer_id="cus_1"),
    ),
    "acknowledged and is not in the log once": (
        deed("refresh", 201, 1, {"token": "t"}, session_id="ses_1"),
    ),
}


@pytest.mark.parametrize(("complaint", "told"), FORGED.items(), ids=lambda value: str(value)[:40])
def test_a_deed_that_does_not_fit_is_told(database, complaint, told):
    """What somebody was told, and an empty log does not hold, is named."""
    found = people_problems(read_stored(database.dsn.read), told)

    assert any(complaint in problem for problem in found), found
