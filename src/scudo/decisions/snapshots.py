"""Snapshots of the features' state on disk, so that a start need not replay the whole log.

A snapshot is written by a forked child, which sees the state as it was at the fork while
the bank goes on deciding. Its name carries the position and the start of the batch hash
there, so that a file of another log, or of a log that was restored to an earlier time, is
never taken.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from scudo.decisions.errors import SnapshotDamaged, SnapshotForeign
from scudo.decisions.features import FeatureSet, FeatureState, dump, load

_log = structlog.get_logger("scudo.snapshots")
_NAME: Final = re.compile(r"features-(?P<position>\d{20})-(?P<hash>[0-9a-f]{16})\.snapshot")
_HASH_BYTES: Final = 8
#: Older ones are removed; the second newest stays in case the newest is damaged.
_KEPT: Final = 2


class Snapshots:
    """The snapshots of one bank, in one folder."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made when it is needed."""
        self._folder = folder
        self._child: int | None = None
        #: Log position of the newest snapshot.
        self.position = 0

    def candidates(self, *, through: int) -> Iterator[tuple[int, bytes, Path]]:
        """Snapshots up to a log position, newest first: position, start of batch hash, file."""
        found = []
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                match = _NAME.fullmatch(path.name)
                if match is not None and int(match["position"]) <= through:
                    found.append((int(match["position"]), bytes.fromhex(match["hash"]), path))
        yield from sorted(found, reverse=True)

    def read(self, path: Path, features: FeatureSet) -> tuple[FeatureState, int] | None:
        """Load a snapshot; None if it is damaged or of other definitions (it is then removed)."""
        try:
            with path.open("rb") as file:
                state, position = load(file, features=features)
        except (SnapshotDamaged, SnapshotForeign, OSError) as refusal:
            _log.warning("snapshot_refused", file=path.name, reason=str(refusal))
            path.unlink(missing_ok=True)
            return None
        self.position = position
        return state, position

    def write_aside(self, state: FeatureState, *, position: int, batch_hash: bytes) -> None:
        """Write a snapshot in a forked child; call it only while no batch is open.

        Does nothing while an earlier child still writes.
        """
        if self.is_writing():
            return
        child = os.fork()
        if child:
            self._child = child
            self.position = position
            return
        status = 1
        try:
            self.write(state, position=position, batch_hash=batch_hash)
            status = 0
        finally:
            # Nothing of the parent may run here again: no loop, no buffers, no handlers.
            os._exit(status)

    def is_writing(self) -> bool:
        """Whether a child still writes."""
        if self._child is None:
            return False
        finished, _ = os.waitpid(self._child, os.WNOHANG)
        if finished:
            self._child = None
        return self._child is not None

    def finish(self) -> None:
        """Wait for a child that still writes."""
        if self._child is not None:
            os.waitpid(self._child, 0)
            self._child = None

    def write(self, state: FeatureState, *, position: int, batch_hash: bytes) -> None:
        """Write a snapshot, whole or not at all, and remove old ones."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"features-{position:020d}-{batch_hash[:_HASH_BYTES].hex()}.snapshot"
        unfinished = self._folder / f".{name}.{os.getpid()}"
        with unfinished.open("wb") as file:
            dump(state, file, position=position)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self._folder / name)
        for _, _, path in list(self.candidates(through=position))[_KEPT:]:
            path.unlink(missing_ok=True)
        self.position = position
