"""Digests and trees: golden vectors, and a second implementation written from the RFC."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scudo.kernel import GENESIS, chain, leaf, merkle_root

leaves = st.lists(st.binary(min_size=32, max_size=32), max_size=70)


def rfc_6962(digests):
    """Merkle tree hash as RFC 6962 section 2.1 defines it, over leaf digests."""
    if not digests:
        return sha256(b"").digest()
    if len(digests) == 1:
        return digests[0]
    split = 1
    while split * 2 < len(digests):
        split *= 2
    return sha256(b"\x01" + rfc_6962(digests[:split]) + rfc_6962(digests[split:])).digest()


@given(leaves)
def test_the_root_is_that_of_the_rfc(digests):
    """Level by level or split at the largest power of two: the tree is the same."""
    assert merkle_root(digests) == rfc_6962(digests)


@given(leaves.filter(bool), st.data())
def test_the_root_depends_on_every_leaf_and_its_place(digests, data):
    """A changed, missing, added or moved leaf gives another root."""
    at = data.draw(st.integers(0, len(digests) - 1))
    changed = digests.copy()
    changed[at] = bytes([digests[at][0] ^ 1]) + digests[at][1:]
    root = merkle_root(digests)

    assert merkle_root(changed) != root
    assert merkle_root(digests[:at] + digests[at + 1 :]) != root
    assert merkle_root([*digests, digests[at]]) != root
    if digests[at] != digests[0]:
        swapped = digests.copy()
        swapped[0], swapped[at] = swapped[at], swapped[0]
        assert merkle_root(swapped) != root


#: From RFC 6962 test data of certificate transparency: leaves "", 00, 10, 2021, 3031, ...
CT_INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
CT_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
}


@pytest.mark.parametrize(("count", "root"), CT_ROOTS.items())
def test_the_tree_gives_the_vectors_of_certificate_transparency(count, root):
    """Trees over the published inputs have the published roots."""
    digests = [leaf(b"", bytes.fromhex(text)) for text in CT_INPUTS[:count]]

    assert merkle_root(digests).hex() == root


def test_leaf_and_chain_keep_their_golden_vectors():
    """The bytes that stored hashes rest on do not change."""
    assert leaf(b"T1", b"row").hex() == sha256(b"\x00T1row").hexdigest()
    assert (
        leaf(b"T1", b"row").hex()
        == "e6dbb4d45a08c3c4e62d96e9f61dcfbac071fbcbe0b0b8269b7b459c1d750c4d"
    )
    assert chain(GENESIS, GENESIS) == sha256(b"\x02" + bytes(64)).digest()


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_leaf_node_and_chain_never_meet(left, right):
    """Leaf, node and chain hashes of the same bytes differ: none can stand for another."""
    digests = [leaf(b"", left), leaf(b"", right)]
    values = {leaf(b"", b"".join(digests)), merkle_root(digests), chain(*digests)}

    assert len(values) == 3
