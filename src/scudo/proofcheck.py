"""Checks what a Scudo bank has proven, without the bank and without a database.

    python proofcheck.py FILE [--witness FOLDER] [--key HEX]...
    python proofcheck.py --witness FOLDER [--key HEX]...

FILE is what `scudo prove` wrote, FOLDER a copy of the log's witness, HEX the fingerprint of a
key that the bank has published. Carry this one file to a machine that you trust; it needs
Python 3.11 and `cryptography`. It believes nothing that it has not computed: what it says of a
payment it reads from the images of rows whose digests lead to the signed root.
Exit code 0: proven; 1: not proven; 2: cannot be read.

Source: RFC 9162 section 2.1 (trees, inclusion, consistency), RFC 8032 (Ed25519), FIPS 204
(ML-DSA-65), PostgreSQL's documentation of COPY, "Binary Format" (images of rows).
"""

import argparse
import base64
import io
import json
import struct
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

#: Bytes of a public key and of a signature.
ALGORITHMS: Final = {"ed25519": (32, 64), "ml-dsa-65": (1952, 3309)}
#: Why a head was signed; its place here is its number in the signed bytes, for ever.
CADENCES: Final = ("moment", "hour", "day")
#: No file or path of ours comes near these.
FILE_BYTES_MAX: Final = 256 << 20
PATH_MAX: Final = 128
#: So many heads back a line of a witness may be repeated: an interrupted export does that.
REPEATED_MAX: Final = 1_000
_NUMBER_MAX: Final = (1 << 63) - 1
_INSTANT_MAX: Final = 253_402_300_799_999_999
_STATEMENT: Final = struct.Struct(">16sQQ32sQQB32s")


class NotProven(Exception):
    """Raised when something was read and does not hold."""


class Unreadable(Exception):
    """Raised when something cannot be read as what it should be."""


def _prove(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition and its words
    if not holds:
        raise NotProven(otherwise)


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - see above
    if not holds:
        raise Unreadable(otherwise)


def leaf_digest(content: bytes) -> bytes:
    """Digest of a leaf (RFC 9162 section 2.1.1)."""
    return sha256(b"\x00" + content).digest()


def node_digest(left: bytes, right: bytes) -> bytes:
    """Digest of two subtrees (RFC 9162 section 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """Leaves of the left subtree: the largest power of two below the size, which is above 1."""
    return 1 << ((size - 1).bit_length() - 1)


def root_above(leaf: bytes, *, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Root that an inclusion path leads to; the path is made by RFC 9162 section 2.1.3.1."""
    fits = 0 <= index < size and (size > 1) == bool(path)
    _prove(fits, "the path does not fit the place of the batch in the log")
    if size == 1:
        return leaf
    left, inner, beside = split(size), path[:-1], path[-1]
    if index < left:
        return node_digest(root_above(leaf, index=index, size=left, path=inner), beside)
    above = root_above(leaf, index=index - left, size=size - left, path=inner)
    return node_digest(beside, above)


def check_consistency(
    first: tuple[int, bytes], second: tuple[int, bytes], path: Sequence[bytes]
) -> None:
    """Check that the second log (size and root) begins as the first: RFC 9162 section 2.1.4.1.

    The path is empty if the first log is, or if both have the same size.
    """
    (size, root), (later, later_root) = first, second
    holds = not path if not size else size <= later
    if holds and size:
        holds = _roots(size, later, path, root) == (root, later_root)
    _prove(
        holds, f"the log of size {later} does not begin as that of size {size}: it was rewritten"
    )


def _roots(size: int, later: int, path: Sequence[bytes], known: bytes) -> tuple[bytes, bytes]:
    # Both roots of a subtree; `known` is the first one as long as it need not be in the path.
    if size == later:
        _prove(len(path) == (not known), "the path is not as long as it must be")
        return (path[0], path[0]) if path else (known, known)
    _prove(bool(path), "the path is too short")
    left, inner, beside = split(later), path[:-1], path[-1]
    if size <= left:
        old, new = _roots(size, left, inner, known)
        return old, node_digest(new, beside)
    old, new = _roots(size - left, later - left, inner, b"")
    return node_digest(beside, old), node_digest(beside, new)


def root_of_shape(shape: str, *, leaves: Sequence[bytes], path: Sequence[bytes]) -> bytes:
    """Root of a tree of which some leaves are known, and the digests beside them, left to right.

    The shape tells the tree from its root on, a node before its two children: `+` is a node, `.`
    the next digest of the path, `#` the next leaf. So no size has to be believed.
    """
    symbols = iter(shape)
    sources = {"#": iter(leaves), ".": iter(path)}

    def walk(depth: int) -> bytes:
        if (symbol := next(symbols, "")) == "+" and depth:
            left = walk(depth - 1)
            return node_digest(left, walk(depth - 1))
        found = next(sources.get(symbol, iter(())), b"")
        _prove(bool(found), "the tree of the batch does not fit its rows and its path")
        return found

    root = walk(PATH_MAX)
    is_used = not any(next(rest, None) for rest in (symbols, *sources.values()))
    _prove(is_used, "there are more rows or digests than the tree of the batch has")
    return root


@dataclass(frozen=True, slots=True)
class Key:
    """A public key that signs heads; it has signed nothing before `valid_from` (microseconds)."""

    algorithm: str
    public_key: bytes
    valid_from: int

    @property
    def fingerprint(self) -> bytes:
        """What names the key everywhere; covers its algorithm."""
        named = b"scudo.signing-key.v1\x00" + self.algorithm.encode() + b"\x00"
        return sha256(named + self.public_key).digest()


@dataclass(frozen=True, slots=True)
class Head:
    """What a bank signs: the size (in batches), the root and the last position of its log.

    A log is known by 16 random bytes. Heads are numbered from 1 on, without a gap; `signed_at` is
    in microseconds since 1970, `cadence` says why, `key` is the key's fingerprint.
    """

    log: bytes
    number: int
    size: int
    root: bytes
    position: int
    signed_at: int
    cadence: str
    algorithm: str
    key: bytes
    signature: bytes = b""

    @property
    def statement(self) -> bytes:
        """The bytes that are signed; no two heads share them, and nothing else begins so."""
        numbers = (self.log, self.number, self.size, self.root, self.position, self.signed_at)
        packed = _STATEMENT.pack(*numbers, CADENCES.index(self.cadence), self.key)
        return b"scudo.signed-head.v1\x00" + packed

    def __str__(self) -> str:
        """Say which it is."""
        return f"head {self.number} of size {self.size}"


def check_signature(head: Head, key: Key) -> None:
    """Check that a head was signed by a key that was in use."""
    is_named = (head.algorithm, head.key) == (key.algorithm, key.fingerprint)
    _prove(is_named, f"{head} names another key than the one it comes with")
    _prove(head.signed_at >= key.valid_from, f"{head} was signed before its key was in use")
    kind = Ed25519PublicKey if key.algorithm == "ed25519" else MLDSA65PublicKey
    try:
        kind.from_public_bytes(key.public_key).verify(head.signature, head.statement)
    except InvalidSignature:
        _prove(holds=False, otherwise=f"{head} was not signed by the key {head.key.hex()}")
    except (ValueError, UnsupportedAlgorithm):
        _expect(holds=False, otherwise=f"the {key.algorithm} key cannot be used here")


def _check_next(earlier: Head, later: Head, path: Sequence[bytes]) -> None:
    is_next = later.log == earlier.log and later.number == earlier.number + 1
    _prove(is_next, f"after head {earlier.number} comes head {later.number}, or another log")
    is_later = later.position >= earlier.position and later.signed_at >= earlier.signed_at
    _prove(is_later, f"{later} goes back before {earlier}")
    has_grown = (later.size == earlier.size) == (later.position == earlier.position)
    _prove(has_grown, f"{later} and {earlier} do not end where their sizes say")
    check_consistency((earlier.size, earlier.root), (later.size, later.root), path)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    _expect(len(found) == len(pairs), "a member stands twice in one object")
    return found


def _parse(text: bytes) -> object:
    try:
        return json.loads(text.decode(), object_pairs_hook=_members)
    except (ValueError, RecursionError) as error:
        raise Unreadable("this is not JSON") from error


def _object(value: Any, *names: str) -> list[Any]:  # noqa: ANN401 - whatever JSON holds
    is_one = isinstance(value, dict) and value.keys() == set(names)
    _expect(is_one, f"there is no object with exactly the members {', '.join(names)}")
    return [value[name] for name in names]


def _number(value: Any, limit: int = _NUMBER_MAX) -> int:  # noqa: ANN401 - see above
    _expect(type(value) is int and 0 <= value <= limit, f"there is no number from 0 to {limit}")
    return int(value)


def _word(value: Any, known: Collection[str]) -> str:  # noqa: ANN401 - see above
    _expect(isinstance(value, str) and value in known, f"there is none of {', '.join(known)}")
    return str(value)


def _octets(value: object, size: int | None = None, *, is_hex: bool = False) -> bytes:
    try:
        text = value if isinstance(value, str) else "?"
        found = bytes.fromhex(text) if is_hex else base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Unreadable("there is neither base64 nor hexadecimal where it must be") from error
    is_canonical = text == (found.hex() if is_hex else base64.b64encode(found).decode())
    _expect(is_canonical and size in {None, len(found)}, "some bytes are not as they must be")
    return found


def _path(value: object) -> list[bytes]:
    joined = _octets(value)
    _expect(len(joined) % 32 == 0 and len(joined) <= 32 * PATH_MAX, "there is no path of digests")
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]


def _head(value: object) -> Head:
    members = _object(value, *Head.__slots__)
    log, number, size, root, at, signed_at, why, algorithm, key, signature = members
    signer = (_word(algorithm, ALGORITHMS), _octets(key, 32, is_hex=True))
    return Head(
        *(_octets(log, 16, is_hex=True), _number(number), _number(size), _octets(root, 32)),
        *(_number(at), _number(signed_at, _INSTANT_MAX), _word(why, CADENCES)),
        *(*signer, _octets(signature, ALGORITHMS[algorithm][1])),
    )


def _key(value: object) -> Key:
    algorithm, public_key, valid_from = _object(value, *Key.__slots__)
    size, _ = ALGORITHMS[_word(algorithm, ALGORITHMS)]
    return Key(algorithm, _octets(public_key, size), _number(valid_from, _INSTANT_MAX))


def witness_files(folder: Path) -> list[tuple[Path, int]]:
    """The files of one log's witness in their order, and how long each is now."""
    return [(path, path.stat().st_size) for path in sorted(folder.glob("*.jsonl"))]


class Witness:
    """Reads a witness: every head signed, none missing, each the continuation of the one before.

    Its lines are keys and heads, a file a day; a key stands before what it signed.
    """

    def __init__(self, files: Sequence[tuple[Path, int]]) -> None:
        self._files = files
        self._recent: dict[int, Head] = {}
        self.keys: dict[bytes, Key] = {}
        self.latest: Head | None = None
        self.count = 0

    def __iter__(self) -> Iterator[Head]:
        """Give head after head, each checked; NotProven or Unreadable at the first bad line.

        A torn line is one that is being written, or whose writer was killed: unless it is the
        very last, it must stand whole in the line after it.
        """
        torn = b""
        for line in self._lines():
            if not line.endswith(b"}}\n"):
                torn = line.rstrip(b"\n")
                continue
            _expect(line.startswith(torn), "a torn line of the witness does not follow whole")
            torn = b""
            if head := self._take(_parse(line)):
                yield head

    def _lines(self) -> Iterator[bytes]:
        for path, size in self._files:
            _expect(size <= FILE_BYTES_MAX, "a file of the witness is too large")
            with path.open("rb") as file:
                yield from io.BytesIO(file.read(size))

    def _take(self, value: object) -> Head | None:
        if isinstance(value, dict) and "key" in value:
            key = _key(*_object(value, "key"))
            _prove(self.keys.setdefault(key.fingerprint, key) == key, "a signing key has changed")
            return None
        shown, path = _object(value, "head", "path")
        head = _head(shown)
        if self._recent.get(head.number) == head:
            return None
        _prove(head.key in self.keys, f"{head} is signed by a key that is not in the witness")
        check_signature(head, key := self.keys[head.key])
        since = max(k.valid_from for k in self.keys.values() if k.algorithm == key.algorithm)
        is_in_use = key.valid_from == since or head.signed_at < since
        _prove(is_in_use, f"{head} is signed by a key that had been replaced")
        if self.latest is not None:
            _check_next(self.latest, head, _path(path))
        self._recent.pop(head.number - REPEATED_MAX, None)
        self._recent[head.number] = self.latest = head
        self.count += 1
        return head


_ENTRY_ROW: Final = struct.Struct(">6xq4xq4xq4xq4xh4xhi")
_DECISION_ROW: Final = struct.Struct(">6xq4xq4xq4xh4xh")
_TRANSFER_ROW: Final = struct.Struct(">6xq4xq4xq4xq4xq")
_OUTCOMES: Final = ("allow", "review", "hold", "step-up", "decline", "block")
_PAYMENT_INITIATED: Final = 401
#: Number, code and exponent of usual currencies (ISO 4217); of another the number is told.
CURRENCIES: Final = """124CAD2 156CNY2 203CZK2 208DKK2 344HKD2 348HUF2 352ISK0 356INR2 392JPY0
    414KWD3 578NOK2 702SGD2 752SEK2 756CHF2 826GBP2 840USD2 946RON2 949TRY2 978EUR2 985PLN2"""


def money(minor: int, numeric: int) -> str:
    """An amount in words."""
    for currency in CURRENCIES.split():
        if int(currency[:3]) == numeric:
            exponent = int(currency[6])
            whole, rest = divmod(minor, 10**exponent)
            return f"{whole}{f'.{rest:0{exponent}}' if exponent else ''} {currency[3:6]}"
    return f"{minor} minor units of the currency {numeric:03} (ISO 4217)"


def _first_event(events: bytes) -> list[int]:
    # The numbers that the first list of a list begins with, in MessagePack; 0 for none.
    at = 3 if events[0] == 0xDC else 1
    count, at, found = events[at] - 0x90, at + 1, list[int]()
    while len(found) < count:
        code, at = events[at], at + 1
        width = 1 << (code - 0xCC) if 0xCC <= code <= 0xCF else 0
        if code > 0x7F and code != 0xC0 and not width:
            break
        found.append(int.from_bytes(events[at : at + width]) if width else code % 0xC0)
        at += width
    return found


def _tell(table: str, image: bytes, position: int) -> str:
    if table == "D1":
        number, subject, _, _, outcome = _DECISION_ROW.unpack_from(image)
        return f"decision dec_{number:016x} on pay_{subject:016x}: {_OUTCOMES[outcome]}"
    if table == "T1":
        number, debit, credit, amount, held = _TRANSFER_ROW.unpack_from(image)
        _prove(number >> 12 == position, "a transfer of another entry is among the rows")
        moved = money(amount or abs(held), int.from_bytes(image[-2:]))
        kind = "posted" if amount else "held" if held > 0 else "released"
        return f"{moved} {kind} from acc_{debit:016x} to acc_{credit:016x} (trf_{number:016x})"
    return f"a row of the table {table}, {len(image)} bytes"


def _tell_all(rows: Sequence[tuple[str, bytes]], head: Head) -> list[str]:
    (_, image), *others = rows
    _prove([table for table, _ in rows].index("E1") == 0, "the first row is not that of an entry")
    _prove("E1" not in dict(others), "the rows are of several entries")
    position, _, _, _, count, status, size = _ENTRY_ROW.unpack_from(image)
    _prove(position + count - 1 <= head.position, f"{head} ends before the entry does")
    event = _first_event(image[_ENTRY_ROW.size + size + 4 :])
    what = f"entry {position} of the log"
    if len(event) == 7 and event[:2] == [_PAYMENT_INITIATED, position]:
        what = f"payment pay_{position:016x} of {money(event[5], event[6])}"
    was = f"{what}, answered with {status}, was in the log when its {_signed(head)}"
    return [was, *(_tell(*row, position) for row in others)]


def _signed(head: Head) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=head.signed_at)
    return f"{head} was signed at {at.isoformat()} by the {head.algorithm} key {head.key.hex()}."


def _inclusion(proof: object) -> tuple[list[Head], list[Key], list[str]]:
    rows, batch, log, signed, signer = _object(proof, "rows", "batch", "log", "head", "key")
    _expect(isinstance(rows, list) and len(rows) > 0, "there is no list of rows")
    pairs = [_object(row, "table", "image") for row in rows]
    tags = [tag for tag, _ in pairs if isinstance(tag, str) and tag.isascii() and tag.isalnum()]
    _expect({*map(len, tags)} == {2} and len(tags) == len(pairs), "a row names no table")
    read = [(table, _octets(image)) for table, image in pairs]
    shape, beside, previous = _object(batch, "shape", "path", "previous")
    index, path = _object(log, "index", "path")
    head, key = _head(signed), _key(signer)
    check_signature(head, key)
    leaves = [leaf_digest(table.encode() + image) for table, image in read]
    root = root_of_shape(str(shape), leaves=leaves, path=_path(beside))
    # The chain: a batch binds its rows to all before, and is a leaf of the log.
    batch_hash = sha256(b"\x02" + _octets(previous, 32) + root).digest()
    leaf, where = leaf_digest(batch_hash), _number(index)
    is_in = root_above(leaf, index=where, size=head.size, path=_path(path)) == head.root
    _prove(is_in, f"the rows do not lead to the root of {head}: they are not what was signed")
    try:
        return [head], [key], _tell_all(read, head)
    except (LookupError, ValueError, struct.error) as error:
        raise NotProven("the rows are in the log, but are not those of an entry") from error


def _consistency(proof: object) -> tuple[list[Head], list[Key], list[str]]:
    *both, path, signers = _object(proof, "first", "second", "path", "keys")
    _expect(isinstance(signers, list) and len(signers) == 2, "there are not two keys")
    heads, keys = [_head(head) for head in both], [_key(key) for key in signers]
    for head, key in zip(heads, keys, strict=True):
        check_signature(head, key)
    earlier, later = heads
    is_later = earlier.log == later.log and earlier.position <= later.position
    _prove(is_later, "the two heads are not of one log, or not in order")
    check_consistency((earlier.size, earlier.root), (later.size, later.root), _path(path))
    said = f"the log of {later} begins as that of {earlier}: nothing was changed or taken out."
    return heads, keys, [said, _signed(earlier), _signed(later)]


def check(
    text: bytes | None, *, witness: Path | None = None, keys: Collection[bytes] = ()
) -> list[str]:
    """Check a proof, or a witness, or one against the other; returns what is proven, in words.

    With fingerprints of keys, nothing that another key signed counts.
    """
    heads, signers, told = list[Head](), set[bytes](), list[str]()
    if text is not None:
        _expect(len(text) <= FILE_BYTES_MAX, "the file is larger than any proof")
        proof = _parse(text)
        is_inclusion = isinstance(proof, dict) and "rows" in proof
        heads, found, told = _inclusion(proof) if is_inclusion else _consistency(proof)
        signers = {key.fingerprint for key in found}
    if witness is not None:
        reader, unseen = Witness(witness_files(witness)), set(heads)
        for head in reader:
            unseen.discard(head)
        _prove(not unseen, f"{next(iter(unseen), None)} is not in the witness")
        _prove(reader.count > 0, "the witness holds no head")
        signers |= reader.keys.keys()
        told.append(f"{reader.count} heads are in the witness, none missing, each signed and each")
        told.append(f"the continuation of the one before; the last: {reader.latest}.")
    strangers = [key.hex() for key in signers.difference(keys)]
    _prove(not (keys and strangers), f"the keys {strangers} are none of those that were named")
    if not keys:
        told.append("Whose keys these are, no file can prove: compare them with --key.")
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what the command line names, say so in words, and return the exit code."""
    parser = argparse.ArgumentParser(description="Check a proof of a Scudo bank.")
    parser.add_argument("file", nargs="?", type=Path, help="what `scudo prove` wrote")
    parser.add_argument("--witness", type=Path, help="folder of the bank's witness")
    parser.add_argument("--key", action="append", default=[], help="fingerprint of a key, in hex")
    given = parser.parse_args(arguments)
    if given.file is None and given.witness is None:
        parser.error("name a file, a witness, or both")
    try:
        text = None if given.file is None else given.file.read_bytes()
        told = check(
            text, witness=given.witness, keys=[_octets(key, 32, is_hex=True) for key in given.key]
        )
    except NotProven as error:
        sys.stdout.write(f"Not proven: {error}\n")
        return 1
    except (Unreadable, OSError) as error:
        sys.stdout.write(f"Cannot be read: {error}\n")
        return 2
    sys.stdout.write("Proven: " + "\n  ".join(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
