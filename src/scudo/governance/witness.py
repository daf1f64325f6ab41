"""The witness: a folder, best on a machine of somebody else, that remembers every signed head.

A line is a key or a head with the path that proves it to be the continuation of the one
before. A day has a file, which has the keys of its heads. Lines are only ever added.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scudo.governance.model import show_head, show_key, text
from scudo.kernel import date_of, day
from scudo.proofcheck import Head, Key, Witness, witness_files


@dataclass(frozen=True, slots=True)
class Line:
    """A head for the witness, its key, and the path from the head before."""

    head: Head
    key: Key
    path: list[bytes]


class WitnessFolder:
    """Where the heads of one log are written to; `path` is the log's own folder in it."""

    def __init__(self, folder: Path, log: bytes) -> None:
        """Use a folder; it is made with the first head."""
        self.path = folder / log.hex()
        self._keys: dict[Path, set[bytes]] = {}

    def read_latest(self) -> Head | None:
        """The last head that is there whole; None if there is none.

        Reads the newest files only; what is wrong in them raises NotProven or Unreadable.
        """
        for file in reversed(witness_files(self.path)):
            reader = Witness([file])
            for _ in reader:
                pass
            self._keys[file[0]] = set(reader.keys)
            if reader.latest is not None:
                return reader.latest
        return None

    def append(self, lines: Iterable[Line]) -> None:
        """Write heads; all of them are on disk then.

        Raises:
            OSError: some may be there, the last one torn; the same may be written again.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        files: dict[Path, list[Line]] = {}
        for line in lines:
            on = date_of(day(line.head.signed_at)).isoformat()
            files.setdefault(self.path / f"{on}.jsonl", []).append(line)
        for path, of_day in files.items():
            is_new = not path.exists()
            self._append(path, of_day)
            if is_new:
                for folder in (path.parent, path.parent.parent):
                    _sync(folder)

    def _append(self, path: Path, lines: Sequence[Line]) -> None:
        new, written = set(self._keys.get(path, ())), []
        for line in lines:
            if line.key.fingerprint not in new:
                new.add(line.key.fingerprint)
                written.append(_encode({"key": show_key(line.key)}))
            beside = text(b"".join(line.path))
            written.append(_encode({"path": beside, "head": show_head(line.head)}))
        with path.open("ab+") as file:
            if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) and file.read(1) != b"\n":
                # A piece of a line, of a writer that was killed: the whole line follows.
                file.write(b"\n")
            file.write(b"".join(written))
            file.flush()
            os.fsync(file.fileno())
        self._keys[path] = new


def _encode(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
