"""What the edge accepts: rates, tiers, and what is refused unread."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scudo.fabric import web
from scudo.governance.edge_limits import (
    Allowance,
    EdgeRules,
    Filters,
    Tier,
    read_rules,
    shipped_rules,
)
from scudo.identity import partners
from scudo.interfaces.http import Limits
from scudo.interfaces.http.limits import RateLimit, Rates, network_of
from scudo.interfaces.table import describe_without_bank

SECOND = 10**9


class TestTake:
    @given(
        per_s=st.integers(1, 50),
        burst_s=st.integers(1, 3),
        gaps=st.lists(st.integers(0, SECOND), max_size=200),
    )
    def test_never_lets_more_through_than_burst_and_rate(self, per_s, burst_s, gaps):
        """In any span of time at most the burst and the rate times the span pass."""
        limit = RateLimit(per_s=per_s, burst_s=burst_s)
        now = SECOND
        passed = []
        for gap in gaps:
            now += gap
            if limit.take(1, now_ns=now) == 0:
                passed.append(now)

        interval = SECOND // per_s
        for start in range(len(passed)):
            for end in range(start, len(passed)):
                span = passed[end] - passed[start]
                assert end - start + 1 <= per_s * burst_s + span // interval + 1

    @given(per_s=st.integers(1, 1000), burst_s=st.integers(1, 3))
    def test_lets_a_rested_client_burst(self, per_s, burst_s):
        """A client that was silent may send its burst at once, and not one more."""
        limit = RateLimit(per_s=per_s, burst_s=burst_s)

        waits = [limit.take(1, now_ns=SECOND) for _ in range(per_s * burst_s + 1)]

        assert waits[:-1] == [0] * (per_s * burst_s)
        assert waits[-1] >= 1

    @given(per_s=st.integers(1, 100))
    def test_is_true_to_its_word(self, per_s):
        """Whoever waits as long as told gets through."""
        limit = RateLimit(per_s=per_s, burst_s=1)
        now = SECOND
        while (wait := limit.take(1, now_ns=now)) == 0:
            pass

        assert limit.take(1, now_ns=now + wait * SECOND) == 0


def operation(method: web.Method, name: str, **more: int) -> web.Operation:
    async def nothing(_call: web.Call) -> web.Reply:
        return web.Reply(204)

    return web.Operation(
        method=method,
        path="/x",
        name=name,
        summary="X",
        tag="x",
        scope=None,
        handler=nothing,
        answers={204: None},
        **more,
    )


def passed(rates: Rates, tier: str, asked: web.Operation, count: int) -> int:
    """How many of so many requests at one moment pass."""
    client = web.Principal(7, frozenset(), kind=web.PrincipalKind.PARTNER, tier=tier)
    return sum(rates.take(client, asked, now_ns=SECOND) == 0 for _ in range(count))


class TestRules:
    def test_that_are_shipped_name_what_there_is(self):
        """Every tier of a partner has its numbers; every operation that is named exists."""
        rules = shipped_rules()
        operations = {
            described["operationId"]
            for path in describe_without_bank()["paths"].values()
            for described in path.values()
        }

        assert set(rules.tiers) == {str(tier) for tier in partners.Tier}
        assert {name for tier in rules.tiers.values() for name in tier.operations} <= operations

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "no toml",
            "[tiers.a]\nreads_per_s = 1\n[filters]\n",
            "[tiers.a]\nreads_per_s = 0\nmoves_per_s = 1\nburst_s = 1\n[filters]\n",
            "[tiers.a]\nreads_per_s = 1\nmoves_per_s = 1\nburst_s = 1\nmore = 1\n[filters]\n",
            "[tiers]\n[filters]\nheader_max = 1\n",
            "[tiers]\n[filters]\nheaders_max = -1\n",
        ],
    )
    def test_that_say_something_else_are_refused(self, text):
        """A rule that is misspelt is no rule, so nothing starts with it."""
        with pytest.raises(ValueError, match=r"\w"):
            read_rules(text)

    def test_of_a_tier_count_operations_apart(self):
        """A narrow operation has its own allowance, and takes from the tier's too."""
        rates = Rates(Limits())

        assert passed(rates, "trial", operation("POST", "pay"), 9) == 4
        assert passed(rates, "trial", operation("POST", "other"), 9) == 6
        assert passed(rates, "trial", operation("GET", "read"), 50) == 40

    def test_of_strangers_count_networks(self):
        """An address of IPv4, and a customer line of IPv6, have an allowance each."""
        rates, asked = Rates(Limits()), operation("POST", "open", network_per_s=1)

        def wait(network: str) -> int:
            return rates.take_stranger(network, asked, now_ns=SECOND)

        assert [wait("192.0.2.1") for _ in range(3)] == [0, 0, 1]
        assert wait("192.0.2.2") == 0
        assert [wait(f"2001:db8::{n}") for n in range(3)] == [0, 0, 1]
        assert wait("2001:db8:1::1") == 0
        assert network_of("not:an:address") == "not:an:address"

    def test_remember_no_more_clients_than_are_busy(self):
        """A flood of addresses does not fill memory: who has its whole allowance is forgotten."""
        limit = RateLimit(per_s=10, burst_s=1)
        for number in range(100_010):
            limit.take(number, now_ns=SECOND)

        limit.take("late", now_ns=3 * SECOND)

        assert len(limit._full_at) < 10


class TestFilters:
    @pytest.mark.parametrize(
        ("filters", "asked", "status", "code"),
        [
            (
                Filters(headers_max=2),
                {"headers": {"a": "1", "b": "2", "c": "3"}},
                431,
                "head_too_large",
            ),
            (Filters(header_bytes_max=9), {"headers": {"a": "1" * 10}}, 431, "head_too_large"),
            (Filters(path_bytes_max=9), {"path": "/health/live"}, 414, "target_too_long"),
            (
                Filters(query_bytes_max=9),
                {"path": "/health/live?aaaaaaaaaa"},
                414,
                "target_too_long",
            ),
        ],
    )
    def test_refuse_by_shape_and_count(self, desk_of, filters, asked, status, code):
        """What is longer than anything honest is refused before it is read, and counted."""
        rules = EdgeRules(shipped_rules().tiers, filters)
        desk = desk_of(Limits(rules=rules))

        answer = desk.ask("GET", asked.get("path", "/health/live"), headers=asked.get("headers"))

        assert (answer.status, answer.json["code"]) == (status, code)
        counted = [
            sample.value
            for family in desk.registry.collect()
            for sample in family.samples
            if sample.name == "scudo_http_filtered_total"
        ]
        assert counted == [1.0]

    @pytest.mark.parametrize(
        ("denied", "status"), [("127.0.0.0/8", 403), ("192.0.2.0/24", 200), ("::/0", 200)]
    )
    def test_refuse_networks_that_are_denied(self, serve, desk_of, denied, status):
        """A network on the list is refused whatever it asks for."""
        rules = EdgeRules(shipped_rules().tiers, Filters(denied_networks=(denied,)))
        served = serve(desk_of(Limits(rules=rules)))

        answer = httpx.get(f"http://127.0.0.1:{served.port}/health/live")

        assert answer.status_code == status

    @pytest.mark.parametrize("header", ["x-forwarded-for", "x-real-ip", "forwarded"])
    @pytest.mark.parametrize(("denied", "status"), [("127.0.0.0/8", 403), ("192.0.2.0/24", 200)])
    def test_go_by_the_connection_and_not_by_what_is_said(
        self, serve, desk_of, denied, status, header
    ):
        """Whoever names another address is neither let in by it nor kept out."""
        rules = EdgeRules(shipped_rules().tiers, Filters(denied_networks=(denied,)))
        served = serve(desk_of(Limits(rules=rules)))
        said = "for=192.0.2.1" if header == "forwarded" else "192.0.2.1"

        answer = httpx.get(f"http://127.0.0.1:{served.port}/health/live", headers={header: said})

        assert answer.status_code == status

    def test_are_networks(self, desk_of):
        """A deny-list that cannot be read does not start."""
        rules = EdgeRules(shipped_rules().tiers, Filters(denied_networks=("bank",)))

        with pytest.raises(ValueError, match="bank"):
            desk_of(Limits(rules=rules))


class TestOtherRules:
    """What happens when two people set other rules while requests come."""

    @given(
        before=st.tuples(st.integers(1, 500), st.integers(1, 3)),
        after=st.tuples(st.integers(1, 500), st.integers(1, 3)),
        taken=st.integers(0, 100),
    )
    def test_give_nobody_a_whole_allowance_anew(self, before, after, taken):
        """What was taken stays taken, and nobody waits longer than for one request of the new."""
        limit = RateLimit(per_s=before[0], burst_s=before[1])
        spent = sum(limit.take(1, now_ns=SECOND) == 0 for _ in range(taken))

        limit.change(per_s=after[0], burst_s=after[1], now_ns=SECOND)

        whole = after[0] * after[1]
        left = 0
        while limit.take(1, now_ns=SECOND) == 0:
            left += 1
        # Rounding of the interval may cost or give one request.
        assert abs(left - max(0, whole - spent)) <= 1
        rested = RateLimit(per_s=after[0], burst_s=after[1])
        assert rested.take(1, now_ns=SECOND) == 0

    def test_hold_for_tiers_operations_and_networks(self):
        """Each allowance is the new one; what is not narrower any more takes from the tier only."""
        rates = Rates(Limits())
        asked = operation("POST", "take", network_limit="callbacks")
        shipped = shipped_rules()
        tiers = {**shipped.tiers, "trial": Tier(reads_per_s=1, moves_per_s=3, burst_s=1)}
        assert rates.take_stranger("192.0.2.1", asked, now_ns=SECOND) == 0

        rates.adopt(
            EdgeRules(tiers, shipped.filters, {"callbacks": Allowance(per_s=2, burst_s=1)}),
            now_ns=SECOND,
        )

        assert passed(rates, "trial", operation("POST", "pay"), 9) == 3
        assert passed(rates, "trial", operation("GET", "read"), 9) == 1
        waits = [rates.take_stranger("192.0.2.1", asked, now_ns=SECOND) for _ in range(3)]
        assert [wait > 0 for wait in waits] == [False, True, True]

    def test_hold_for_the_next_request_and_count_on(self, desk_of):
        """A filter that is set while the edge serves refuses the next request."""
        shipped = shipped_rules()
        held = [shipped]
        desk = desk_of(Limits(), rules=lambda: held[0])
        before = desk.ask("GET", "/health/live").status

        held[0] = EdgeRules(shipped.tiers, Filters(path_bytes_max=9), shipped.networks)
        refused = desk.ask("GET", "/health/live").status
        held[0] = shipped

        assert (before, refused, desk.ask("GET", "/health/live").status) == (200, 414, 200)
