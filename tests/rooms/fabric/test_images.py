"""Golden vectors of the stored images: hashes of the past rest on these bytes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scudo.decisions.gate import DECISION
from scudo.fabric import RECORD, Answer, Batch, Event, Head, Table, sized
from scudo.fabric.log.model import BATCH, ENTRY, KEY, Command, batch_leaf, entry_image, key_image
from scudo.fabric.rows import NULL, columns
from scudo.fabric.stored import batch_row, first_int8, key_position
from scudo.kernel import GENESIS, chain, leaf, merkle_root
from scudo.ledger.book import TRANSFER

NOON = 1_800_000_000_000_000


class Rang(Event, tag=1):
    """A bell rang."""

    bell: int


class Ring(Command, tag=1):
    """Ring a bell."""

    bell: int


ENTRY_GOLDEN = (
    "0009"
    "000000080000000000000007"
    "0000000800030815ed60a000"
    "000000080000000000000005"
    "000000080000000000000003"
    "000000020002"
    "0000000200c9"
    "00000002920a"
    "0000000190"
    "000000027b7d"
)
KEY_GOLDEN = (
    "0003"
    "0000001001010101010101010101010101010101"
    "0000001002020202020202020202020202020202"
    "000000080000000000000007"
)


def test_an_entry_keeps_its_image():
    """Nine fields, each with its length, big-endian; times count from 2000."""
    image = entry_image(
        position=7,
        ordered_at=NOON,
        correlation=5,
        client=3,
        event_count=2,
        status=201,
        command=bytes.fromhex("920a"),
        events=bytes.fromhex("90"),
        answer=b"{}",
    )

    assert image.hex() == ENTRY_GOLDEN
    assert first_int8(image) == 7


def test_a_key_keeps_its_image():
    """Two digests of sixteen bytes and a position."""
    image = key_image(b"\x01" * 16, b"\x02" * 16, 7)

    assert image.hex() == KEY_GOLDEN
    assert key_position(image) == 7


def _batch(keys: bool) -> Batch:
    batch = Batch(Head(2, 40, NOON - 9, 6, GENESIS, "unset"), recorded_at=NOON)
    for bell in (1, 2):
        entry = batch.entry(client=3, owner=None, now=NOON, at=None)
        entry.emit(Rang(bell))
        key = (bytes([bell]) * 16, b"\x02" * 16) if keys else None
        batch.close(entry, command=Ring(bell), answer=Answer(200, b"{}"), key=key)
    return batch


@pytest.mark.parametrize("keys", [True, False])
def test_a_batch_proves_its_rows_in_their_order(keys):
    """Leaf 0 is the batch's own; then each entry, its key, its rows; the chain binds the root."""
    batch = _batch(keys)
    after = batch.seal()
    row = batch_row(batch.rows[BATCH][0])

    leaves = []
    for index, image in enumerate(batch.rows[ENTRY]):
        leaves.append((b"E", leaf(b"E1", image)))
        if keys:
            leaves.append((b"K", leaf(b"K1", batch.rows[KEY][index])))
    outline = b"".join(letter + digest[:3] for letter, digest in leaves)
    own = batch_leaf(
        first=41,
        last=42,
        number=7,
        epoch=2,
        recorded_at=NOON,
        leaves=1 + len(leaves),
        outline=outline,
    )
    assert row.outline == outline
    assert row.leaf() == own
    assert row.root == merkle_root([own, *(digest for _, digest in leaves)])
    assert row.hash == after.hash == chain(GENESIS, row.root)
    assert (row.first, row.last, row.number, row.epoch, row.recorded_at) == (41, 42, 7, 2, NOON)


def test_a_batch_keeps_its_golden_hash():
    """The same entries give this hash for ever."""
    assert _batch(keys=True).seal().hash.hex() == GOLDEN_HASH


def test_sealing_twice_gives_the_same_head():
    """A batch in doubt is sealed again to be looked for."""
    batch = _batch(keys=True)

    assert batch.seal() == batch.seal()


GOLDEN_HASH = "f4b0008677e32bec90bf7bf765ac3beadddd26886283f40a0015b3c2e8cf842f"


TABLES = [BATCH, ENTRY, KEY, RECORD, TRANSFER, DECISION]


@given(st.data())
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_images_are_taken_apart_into_the_fields_they_were_made_of(table: Table, data):
    """What is declared of fixed size, and what varies or is NULL, comes out as it went in."""
    varying = st.none() | st.binary(max_size=40)
    rows = data.draw(
        st.lists(
            st.tuples(
                *(
                    st.binary(min_size=size, max_size=size) if size else varying
                    for size in table.sizes
                )
            ),
            min_size=1,
            max_size=4,
        )
    )
    fields = [[NULL if value is None else sized(value) for value in row] for row in rows]
    images = [struct.pack(">h", len(row)) + b"".join(row) for row in fields]

    assert list(columns(table, images)) == list(zip(*fields, strict=True))
