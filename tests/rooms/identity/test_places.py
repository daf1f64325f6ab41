"""A network is in the country that the installation's list says, by its smallest network."""

import asyncio
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scudo.identity.places import Networks, NetworksUnfit, Places

LIST = """\
network,country
# A bank of the documentation.
192.0.2.0/24,CH
"192.0.2.128/25","IT"
192.0.2.192/26,ZZ
198.51.100.0/24, 826
198.51.100.0/24,JP

2001:db8::/32,DE
2001:db8:1::/48,at
255.255.255.0/24,FR
ffff:ffff:ffff:ffff:ffff:ffff:ffff:0/112,FR
"""


class TestNetworks:
    @pytest.mark.parametrize(
        ("address", "country"),
        [
            ("192.0.2.0", 756),
            ("192.0.2.127", 756),
            ("192.0.2.128", 380),
            ("192.0.2.191", 380),
            ("192.0.2.192", None),
            ("192.0.2.255", None),
            ("192.0.3.0", None),
            ("192.0.1.255", None),
            ("0.0.0.0", None),
            ("198.51.100.7", 392),
            ("255.255.255.255", 250),
            ("::ffff:192.0.2.1", 756),
            ("2001:db8:0:ffff::1", 276),
            ("2001:db8:1::1", 40),
            ("2001:db8:2::1", 276),
            ("2001:db9::1", None),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 250),
            ("", None),
            ("local", None),
        ],
    )
    def test_know_an_address_by_its_smallest_network(self, address, country):
        """Networks within each other, at both ends, of both versions, and what is no address."""
        assert Networks(LIST.splitlines()).country(address) == country

    @pytest.mark.parametrize(
        "line",
        [
            "192.0.2.0/24",
            "192.0.2.0/24,",
            "192.0.2.0/24,CHE",
            "192.0.2.0/24,999",
            "192.0.2.0/24,-1",
            "192.0.2.0/24,CH,x",
            "192.0.2.1/24,CH",
            "192.0.2.0,192.0.2.255,CH",
            "nowhere,CH",
        ],
    )
    def test_refuse_what_is_no_list(self, line):
        """A line that cannot be read is named; nothing is guessed."""
        with pytest.raises(NetworksUnfit) as refused:
            Networks(["203.0.113.0/24,CH", line])

        assert refused.value.field == "2"

    @given(
        st.lists(st.tuples(st.integers(0, 63), st.integers(26, 32), st.sampled_from("ABCD"))),
        st.integers(0, 63),
    )
    def test_agree_with_a_search_for_the_longest_prefix(self, drawn, last):
        """Whatever lies within whatever, the longest prefix counts, of equal ones the last."""
        letters = {"A": ("CH", 756), "B": ("IT", 380), "C": ("ZZ", None), "D": ("JP", 392)}
        listed = [
            (ipaddress.ip_network((f"10.0.0.{host}", prefix), strict=False), letters[letter])
            for host, prefix, letter in drawn
        ]
        address = ipaddress.ip_address(f"10.0.0.{last}")

        expected, longest = None, -1
        for network, (_, number) in listed:
            if address in network and network.prefixlen >= longest:
                expected, longest = number, network.prefixlen

        networks = Networks([f"{network},{code}" for network, (code, _) in listed])
        assert networks.country(str(address)) == expected


class TestPlaces:
    def test_are_read_again_when_the_file_changes(self, tmp_path):
        """A new list counts soon; one that cannot be read leaves the one before in force."""
        file, now = tmp_path / "networks.csv", [1_000_000]
        file.write_text("192.0.2.0/24,CH\n")
        places = Places(file, now=lambda: now[0])

        async def seen(text):
            file.write_text(text)
            before = places.country("192.0.2.1")
            now[0] += 10_000_000
            places.country("192.0.2.1")
            assert places._reading is not None
            await places._reading
            return before, places.country("192.0.2.1")

        assert asyncio.run(seen("192.0.2.0/24,Italy\n")) == (756, 756)
        assert asyncio.run(seen("192.0.2.0/23,IT\n")) == (756, 380)

    @pytest.mark.parametrize("text", [None, "192.0.2.0/24\n"])
    def test_that_cannot_be_read_are_refused_at_the_start(self, tmp_path, text):
        """A bank that is given a list begins with it, or not at all."""
        file = tmp_path / "networks.csv"
        if text is not None:
            file.write_text(text)

        with pytest.raises(NetworksUnfit):
            Places(file, now=lambda: 0)
