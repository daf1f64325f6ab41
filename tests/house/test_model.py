"""What the executable model passes over is named here, so that nothing is passed over silently."""

from pathlib import Path
from typing import Final

import pytest
from tests.model.layout import BESIDE
from tests.model.whole import KINDS, KNOWN

from scudo.bootstrap.rooms import Rooms
from scudo.decisions import FeatureState, load_access_policy, load_policy
from scudo.decisions.passages import Passages

ROOT: Final = Path(__file__).resolve().parents[2]
_TESTS: Final = "tests/rooms"
#: Commands that the model does not work on, and where their laws are tested instead.
COMMANDS: Final[dict[int, str]] = {
    113: f"{_TESTS}/identity/customers/test_credentials.py",
    119: f"{_TESTS}/identity/customers/test_step_ups.py",
    120: f"{_TESTS}/identity/customers/test_step_ups.py",
    121: f"{_TESTS}/identity/customers/test_sign_up.py",
    122: f"{_TESTS}/identity/customers/test_sessions.py",
    135: f"{_TESTS}/identity/test_operators.py",
    136: f"{_TESTS}/identity/test_operators.py",
    139: f"{_TESTS}/identity/test_operators.py",
    140: f"{_TESTS}/identity/test_operators.py",
    141: f"{_TESTS}/identity/test_operators.py",
    142: f"{_TESTS}/identity/test_operators.py",
    143: f"{_TESTS}/identity/test_operators.py",
    144: f"{_TESTS}/identity/test_operators.py",
    150: "tests/journeys/partners/test_partner_records.py",
    151: "tests/journeys/partners/test_partner_records.py",
    152: "tests/journeys/partners/test_partner_records.py",
    153: "tests/journeys/partners/test_partner_records.py",
    154: "tests/journeys/partners/test_partner_records.py",
    155: "tests/journeys/partners/test_partner_records.py",
    156: "tests/journeys/partners/test_partner_records.py",
    157: "tests/journeys/partners/test_partners.py",
    170: "tests/journeys/test_retention.py",
    301: f"{_TESTS}/decisions/test_engine.py",
    410: f"{_TESTS}/identity/customers/test_step_ups.py",
    441: "tests/journeys/test_money_by_two.py",
    501: f"{_TESTS}/governance/test_trail.py",
    528: "tests/journeys/test_second_person.py",
    530: "tests/interfaces/bank/test_callbacks.py",
    531: "tests/interfaces/bank/test_callbacks.py",
    532: "tests/interfaces/bank/test_callbacks.py",
    540: "tests/journeys/test_conduct.py",
    541: f"{_TESTS}/governance/test_controls.py",
    550: "tests/journeys/test_vault.py",
    553: "tests/journeys/test_vault_persons.py",
    570: f"{_TESTS}/governance/test_retention.py",
}
#: Kinds of records that the model has no counterpart of.
RECORDS: Final[dict[int, str]] = {
    108: f"{_TESTS}/identity/customers/test_step_ups.py",
    122: f"{_TESTS}/identity/test_operators.py",
    123: f"{_TESTS}/identity/test_operators.py",
    141: "tests/journeys/partners/test_partner_records.py",
    170: "tests/journeys/test_retention.py",
    301: f"{_TESTS}/decisions/test_lists.py",
    401: "tests/journeys/test_money_by_two.py",
    510: f"{_TESTS}/governance/test_flags.py",
    511: f"{_TESTS}/governance/test_edge_limits.py",
    522: f"{_TESTS}/governance/test_owners_way.py",
    523: "tests/journeys/test_second_person.py",
    530: "tests/interfaces/bank/test_callbacks.py",
    531: "tests/interfaces/bank/test_callbacks.py",
    541: f"{_TESTS}/governance/test_controls.py",
    550: "tests/journeys/test_vault.py",
    570: "tests/journeys/test_retention.py",
    571: f"{_TESTS}/governance/test_retention.py",
}


@pytest.fixture(scope="module")
def rooms() -> Rooms:
    """The rooms as they are put together, with nothing in them."""
    policy, access = load_policy(), load_access_policy()
    passages = Passages(access, FeatureState(access.features))
    return Rooms(policy, FeatureState(policy.features), passages)


def test_every_command_is_known_to_the_model_or_named(rooms: Rooms) -> None:
    """A new command is one that the model works on, or its tests are named here."""
    tags = {int(str(command.__struct_config__.tag)) for command in rooms._handlers}

    assert sorted(tags - KNOWN - COMMANDS.keys()) == [], "say what the model does with it"
    assert sorted(COMMANDS.keys() & KNOWN) == [], "the model knows it"
    assert sorted((COMMANDS.keys() | KNOWN) - tags) == [], "there is no such command"


def test_what_is_passed_over_in_a_log_is_named(rooms: Rooms) -> None:
    """A replay passes over nothing but what is named here."""
    assert COMMANDS.keys() >= BESIDE


def test_every_kind_of_record_is_known_to_the_model_or_named(rooms: Rooms) -> None:
    """A new kind of record is one that the model keeps, or its tests are named here."""
    kinds = set(rooms._records.registers)

    assert sorted(kinds - KINDS - RECORDS.keys()) == [], "say what the model keeps of it"
    assert sorted(RECORDS.keys() & KINDS) == [], "the model keeps it"
    assert sorted((RECORDS.keys() | KINDS) - kinds) == [], "there is no such kind"


@pytest.mark.parametrize("path", sorted({*COMMANDS.values(), *RECORDS.values()}))
def test_what_is_named_is_there(path: str) -> None:
    """Each file that is said to test what the model does not is one."""
    assert "def test_" in (ROOT / path).read_text()
