"""Roots, inclusion and consistency are those of RFC 9162, as another library computes them."""

import hashlib
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree, verify_consistency

from scudo.governance import logic
from scudo.kernel import merkle_root
from scudo.proofcheck import (
    NotProven,
    check_consistency,
    leaf_digest,
    node_digest,
    root_above,
    root_of_shape,
)

SIZE_MAX = 300
SIZES = st.integers(1, SIZE_MAX)


def content(index):
    return hashlib.sha256(b"%d" % index).digest()


@cache
def reference():
    """The other library's tree."""
    tree = InmemoryTree(algorithm="sha256")
    for index in range(SIZE_MAX):
        tree.append_entry(content(index))
    return tree


@cache
def nodes():
    """Every full subtree of ours, as the bank stores them."""
    frontier, found = logic.Frontier(0, []), {}
    for index in range(SIZE_MAX):
        for level, place, digest in frontier.push(content(index)):
            assert (level, place) not in found
            found[level, place] = digest
    return found


def digests(ranges):
    return [
        logic.joined([nodes()[node] for node in logic.full_subtrees(leaves)]) for leaves in ranges
    ]


def root(size):
    return digests([(0, size)])[0]


def rfc_consistency(first, second, path):
    """Both roots by the algorithm that RFC 9162 section 2.1.4.2 gives to verifiers.

    The bank's checker follows the definition of the path instead, so the two share no steps.
    """
    nodes = [root(first), *path] if first & (first - 1) == 0 else list(path)
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        assert last, "the path is longer than the tree is high"
        if place & 1 or place == last:
            old, new = node_digest(node, old), node_digest(node, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = node_digest(new, node)
        place, last = place >> 1, last >> 1
    assert last == 0, "the path ends before the root"
    return old, new


class TestRoots:
    @given(size=SIZES)
    def test_are_those_of_the_reference(self, size):
        """Stored subtrees give the root of every size that the log ever had."""
        assert root(size) == reference().get_root(size)

    @given(first=SIZES, second=SIZES)
    def test_do_not_depend_on_where_growth_was_interrupted(self, first, second):
        """A frontier that is put together from stored subtrees goes on like the one before."""
        first, second = sorted((first, second))
        stored = [nodes()[node] for node in logic.full_subtrees((0, first))]
        frontier = logic.Frontier(first, stored)
        filled = [node for index in range(first, second) for node in frontier.push(content(index))]

        assert frontier.root == reference().get_root(second)
        grown = {
            (level, index)
            for level, low, high in logic.grown(first, second)
            for index in range(low, high)
        }
        assert {(level, index): digest for level, index, digest in filled} == {
            node: nodes()[node] for node in grown
        }


class TestInclusion:
    @given(size=SIZES, data=st.data())
    def test_has_the_path_of_the_reference(self, size, data):
        """The path of any leaf in any size is the reference's, and leads to the root."""
        index = data.draw(st.integers(0, size - 1))
        path = digests(logic.inclusion(index, size))

        # The other library counts from one and begins with the leaf.
        assert path == reference().prove_inclusion(index + 1, size).path[1:]
        leaf = leaf_digest(content(index))
        assert root_above(leaf, index=index, size=size, path=path) == root(size)

    @given(size=SIZES, data=st.data())
    def test_leads_nowhere_else(self, size, data):
        """With another index, size, leaf or path it does not lead to the root."""
        index = data.draw(st.integers(0, size - 1))
        other = data.draw(st.integers(0, size + 1).filter(lambda number: number != index))
        leaf, path = leaf_digest(content(index)), digests(logic.inclusion(index, size))
        forged = [
            {"leaf": leaf, "index": other, "size": size, "path": path},
            {"leaf": content(index), "index": index, "size": size, "path": path},
            {"leaf": leaf, "index": index, "size": size, "path": [*path, leaf]},
            {"leaf": leaf, "index": index, "size": size, "path": [leaf, *path]},
            {"leaf": leaf, "index": index, "size": size, "path": path[:-1]},
            {"leaf": leaf, "index": index, "size": size, "path": path[::-1]},
        ]
        for forgery in forged:
            if forgery["path"] == path and forgery["index"] == index and forgery["leaf"] == leaf:
                continue
            try:
                found = root_above(**forgery)
            except NotProven:
                continue
            assert found != root(size)

    def test_takes_no_node_for_a_leaf(self):
        """What two leaves come to is not accepted as a batch of its own."""
        left, right = leaf_digest(content(0)), leaf_digest(content(1))
        node = left + right

        assert root_above(leaf_digest(node), index=0, size=1, path=[]) != root(2)


class TestConsistency:
    @given(first=SIZES, second=SIZES)
    def test_is_what_the_rfc_and_the_reference_accept(self, first, second):
        """Our path convinces the RFC's algorithm and ours; their proof fits our roots."""
        first, second = sorted((first, second))
        path = digests(logic.consistency(first, second))

        check_consistency((first, root(first)), (second, root(second)), path)
        if first < second:
            assert rfc_consistency(first, second, path) == (root(first), root(second))
        proof = reference().prove_consistency(first, second)
        verify_consistency(root(first), root(second), proof, first, second)

    @given(first=SIZES, second=SIZES, data=st.data())
    @settings(max_examples=200)
    def test_is_refused_for_anything_else(self, first, second, data):
        """Another root, size, or path is not accepted."""
        first, second = sorted((first, second))
        path = digests(logic.consistency(first, second))
        strange = content(data.draw(st.integers(1_000, 2_000)))
        forged = [
            ((first, strange), (second, root(second)), path),
            ((first, root(first)), (second, strange), path),
            ((first, root(first)), (second, root(second)), [*path, strange]),
            ((first, root(first)), (second, root(second)), [strange, *path]),
            ((second + 1, root(second)), (second, root(second)), path),
        ]
        if path:
            at = data.draw(st.integers(0, len(path) - 1))
            forged += [
                ((first, root(first)), (second, root(second)), path[:at] + path[at + 1 :]),
                (
                    (first, root(first)),
                    (second, root(second)),
                    [*path[:at], strange, *path[at + 1 :]],
                ),
            ]
        for earlier, later, beside in forged:
            with pytest.raises(NotProven):
                check_consistency(earlier, later, beside)


class TestShapes:
    @given(count=st.integers(1, 80), data=st.data())
    def test_lead_from_some_leaves_to_the_root(self, count, data):
        """Any run of leaves, with its shape and what is beside it, gives the batch's root."""
        leaves = [content(index) for index in range(count)]
        first = data.draw(st.integers(0, count - 1))
        last = data.draw(st.integers(first + 1, count))

        shape, path = logic.shape(leaves, (first, last), (0, count))

        known = leaves[first:last]
        assert root_of_shape(shape, leaves=known, path=path) == merkle_root(leaves)
        assert len(path) <= 2 * count.bit_length()

    @given(count=st.integers(2, 80), data=st.data())
    def test_cannot_be_changed(self, count, data):
        """A shape, a leaf or a digest that is changed gives another root, or none."""
        leaves = [content(index) for index in range(count)]
        first = data.draw(st.integers(0, count - 1))
        shape, path = logic.shape(leaves, (first, first + 1), (0, count))
        at = data.draw(st.integers(0, len(shape) - 1))
        symbol = data.draw(st.sampled_from(["+", ".", "#", "", "++", "x"]))
        if shape[at] == symbol:
            return
        changed = shape[:at] + symbol + shape[at + 1 :]

        for forged in (
            {"shape": changed, "leaves": [leaves[first]], "path": path},
            {"shape": shape, "leaves": [leaves[first]], "path": path[:-1]},
            {"shape": shape, "leaves": [leaves[first]], "path": [*path, path[0]]},
            {"shape": shape, "leaves": [leaves[first]] * 2, "path": path},
            {"shape": shape, "leaves": [], "path": path},
            {"shape": shape, "leaves": [content(-1)], "path": path},
        ):
            try:
                found = root_of_shape(forged["shape"], leaves=forged["leaves"], path=forged["path"])
            except NotProven:
                continue
            assert found != merkle_root(leaves)

    def test_that_are_too_deep_are_refused(self):
        """A shape that never ends is refused, not followed."""
        with pytest.raises(NotProven):
            root_of_shape("+" * 1_000_000, leaves=[], path=[])
