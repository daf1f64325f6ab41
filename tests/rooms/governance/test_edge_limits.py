"""Claims about the edge's limits: shipped as a file, set by two people, exact and never a trap."""

import ipaddress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operating import Office

from scudo.fabric import Batch, Head
from scudo.governance import approvals, edge_limits
from scudo.governance.edge_limits import EdgeLimits, errors, events, shipped_rules
from scudo.kernel import GENESIS

TRIAL = {"reads_per_s": 30, "moves_per_s": 5, "burst_s": 2, "operations": {"pay": 1}}
FILTERS = {"denied_networks": ["192.0.2.0/24"], "headers_max": 64}
MINE = "198.51.100.7"


@pytest.fixture
def limits():
    """The shipped limits of an edge that serves two operations."""
    found = EdgeLimits()
    found.know(("pay", "get_payment"))
    return found


@pytest.fixture
def office(limits):
    """An office in which they may be set."""
    found = Office(*limits.kinds)
    for register in limits.registers:
        found.records.registers[register.kind] = register
        register.written = found.records.registers[521].written
    return found


@pytest.fixture
def people(office):
    return office.founders()


class TestEdgeLimits:
    def test_change_in_the_parts_that_two_people_name(self, office, people, limits):
        """A tier and the filters are replaced as a whole; all else is what was shipped."""
        anna, bela = people
        number = office.proposed(anna, "set_edge_limits", tiers={"trial": TRIAL}, filters=FILTERS)
        assert limits.holding() is limits.shipped

        outcome = office.approve(bela, number)

        assert outcome.status == 200
        holding = limits.holding()
        assert holding.tiers["trial"].reads_per_s == 30
        assert holding.tiers["high"] == shipped_rules().tiers["high"]
        assert holding.networks == shipped_rules().networks
        assert holding.filters.denied_networks == ("192.0.2.0/24",)
        told = outcome.told(events.EdgeLimitsSet)
        assert (told.parts, told.denied, told.approval) == (("tiers.trial", "filters"), 1, number)

    def test_are_proposed_with_every_value_that_changes_and_no_other(self, office, people):
        """The diff has a line for each changed number, with what it was and what it is."""
        number = office.proposed(people[0], "set_edge_limits", tiers={"trial": TRIAL})

        document = msgspec.json.decode(office.approval(number).document)

        assert document["diff"] == {
            "tiers.trial.reads_per_s": [20, 30],
            "tiers.trial.operations.pay": [2, 1],
        }

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({}, "change_invalid"),
            ({"tiers": {"gold": TRIAL}}, "change_invalid"),
            ({"tiers": {"trial": TRIAL | {"operations": {"payy": 1}}}}, "change_invalid"),
            ({"tiers": {"trial": TRIAL | {"reads_per_s": 0}}}, "change_invalid"),
            ({"networks": {"others": {"per_s": 1, "burst_s": 1}}}, "change_invalid"),
            ({"filters": {"denied_networks": ["bank"]}}, "change_invalid"),
            ({"filters": {"denied_networks": ["::ffff:192.0.2.0/120"]}}, "change_invalid"),
            ({"filters": {"path_bytes_max": 9}}, "change_invalid"),
            ({"filters": {"headers_max": 1}}, "change_invalid"),
            ({"filters": {"denied_networks": ["0.0.0.0/0"]}}, "network_shut_out"),
            ({"filters": {"denied_networks": ["::/0"]}}, "network_shut_out"),
            ({"filters": {"denied_networks": ["0.0.0.0/1", "128.0.0.0/1"]}}, "network_shut_out"),
        ],
    )
    def test_refuse_what_cannot_hold(self, office, people, limits, change, code):
        """Unknown names, empty changes, shapes too narrow, and everybody denied: refused."""
        outcome = office.propose(people[0], "set_edge_limits", **change)

        assert outcome.code == code
        assert outcome.told(approvals.events.ApprovalRefused).code == code
        assert limits.holding() is limits.shipped

    @given(
        address=st.ip_addresses(v=4),
        prefix=st.integers(8, 32),
        others=st.lists(st.ip_addresses(v=4), max_size=3),
    )
    def test_never_shut_out_who_asks(self, address, prefix, others):
        """Whatever stands beside it, a network that holds the asker's address is refused."""
        limits = EdgeLimits()
        (kind,) = limits.kinds
        mine = f"{address}/{prefix}"
        networks = [
            *(f"{other}/32" for other in others),
            str(ipaddress.ip_network(mine, strict=False)),
        ]
        change = edge_limits.EdgeChange(
            filters=edge_limits.Filters(denied_networks=tuple(networks))
        )

        with pytest.raises(errors.NetworkShutOut):
            kind.spare(change, str(address))
        with pytest.raises(errors.NetworkShutOut):
            kind.spare(change, f"::ffff:{address}")

    def test_spare_who_is_elsewhere(self, limits):
        """Networks of others, and changes without a deny-list, keep nobody."""
        (kind,) = limits.kinds

        for change in (
            edge_limits.EdgeChange(filters=edge_limits.Filters(denied_networks=("192.0.2.0/24",))),
            edge_limits.EdgeChange(tiers={}),
        ):
            for place in (MINE, "2001:db8::1", "a socket"):
                assert kind.spare(change, place) is None

    def test_come_back_when_the_entry_is_undone(self, limits, office):
        """What was decided and not committed does not hold."""
        (kind,) = limits.kinds
        batch = Batch(Head(1, 0, 1, 0, GENESIS, "unset"), recorded_at=2)
        entry = batch.entry(client=1, owner=None, now=2, at=None)
        change = edge_limits.EdgeChange(
            filters=edge_limits.Filters(denied_networks=("192.0.2.0/24",))
        )
        kind.execute(change, entry, approvals.Decided(7, 1, 2, "CASE-1", 2))
        assert limits.holding().filters.denied_networks

        entry.take_back()

        assert limits.holding() == shipped_rules()
