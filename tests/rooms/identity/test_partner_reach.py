"""A law of partners' limits: what does not widen them lets nobody do more than before."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from scudo.identity.partners import Environment, Limits, Partner, Tier, widens

SCOPES = ("accounts:read", "payments:read", "payments:write")
NETWORKS = ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/9", "10.128.0.0/9", "::/0")
PROBES = [ipaddress.ip_address(a) for a in ("10.1.2.3", "10.1.9.9", "10.200.0.1", "8.8.8.8", "::1")]
RANK = {Tier.TRIAL: 1, Tier.STANDARD: 2, Tier.HIGH: 3}

limits = st.builds(
    Limits,
    st.sampled_from(Tier),
    st.lists(st.sampled_from(SCOPES), min_size=1, unique=True).map(lambda s: tuple(sorted(s))),
    st.lists(st.sampled_from(NETWORKS), max_size=3, unique=True).map(tuple),
    st.booleans(),
)


def reach(given_limits):
    """Every single thing that somebody may do."""
    networks = [ipaddress.ip_network(text) for text in given_limits.networks]
    signed = {True} if given_limits.signs else {True, False}
    return {
        (scope, str(address), rate, is_signed)
        for scope in given_limits.scopes
        for address in PROBES
        if not networks or any(address in network for network in networks)
        for rate in range(1, RANK[given_limits.tier] + 1)
        for is_signed in signed
    }


def partner(of):
    return Partner("p", Environment.SANDBOX, of.tier, of.scopes, 1, of.networks, of.signs)


class TestWidening:
    @given(before=limits, after=limits)
    def test_is_named_whenever_more_can_be_done(self, before, after):
        """If anything can be done that could not be done before, it is a widening."""
        if not reach(after) <= reach(before):
            assert widens(partner(before), after)

    @given(of=limits)
    def test_is_not_to_stay_as_one_is(self, of):
        """The same limits widen nothing, and a part of a network is narrower than the whole."""
        assert not widens(partner(of), of)

    def test_is_not_to_write_a_network_in_halves(self):
        """Two halves are the whole, in either direction."""
        whole = Limits(Tier.TRIAL, SCOPES, ("10.0.0.0/8",), False)
        halves = Limits(Tier.TRIAL, SCOPES, ("10.0.0.0/9", "10.128.0.0/9"), False)

        assert not widens(partner(whole), halves)
        assert not widens(partner(halves), whole)
