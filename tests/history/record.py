"""What clients write down: every try of every operation, with when it began and ended."""

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec

#: Refusals that promise that nothing was done and that are not remembered.
NO_EFFECT: Final = frozenset(
    {
        "bank_unavailable",
        "clock_is_live",
        "not_ready",
        "overloaded",
        "rate_limited",
        "request_poisoned",
        "server_busy",
        "writer_fenced",
    }
)
#: Refusals after which only asking by key tells.
IN_DOUBT: Final = frozenset({"internal", "outcome_unknown"})


class Try(msgspec.Struct, frozen=True):
    """One try of one operation.

    Attributes:
        what: a canonical command, or for a read its name and arguments.
        key: Idempotency-Key; empty for reads.
        began, ended: nanoseconds of the machine's monotonic clock, the same for all clients.
        status: of HTTP; 0 if no answer came.
        body: exact bytes of the answer.
    """

    client: int
    what: list[Any]
    key: str
    began: int
    ended: int
    status: int
    body: bytes

    @property
    def is_read(self) -> bool:
        return isinstance(self.what[0], str)

    def answer(self) -> Any:
        return msgspec.json.decode(self.body) if self.body else {}

    @property
    def code(self) -> str:
        """Refusal code; empty for a success or where no answer came."""
        return self.answer().get("code", "") if self.status >= 400 else ""

    @property
    def is_unknown(self) -> bool:
        return self.status == 0 or self.code in IN_DOUBT

    @property
    def digest(self) -> bytes:
        """What the bank stores the key as."""
        return blake2b(f"{self.client}\x00{self.key}".encode(), digest_size=16).digest()


def write(path: Path, tries: Iterable[Try]) -> None:
    """Append tries to a client's file, one JSON line each, at once."""
    with path.open("ab") as file:
        for one in tries:
            file.write(msgspec.json.encode(one) + b"\n")


def read(path: Path) -> list[Try]:
    """Read a client's file."""
    decode = msgspec.json.Decoder(Try).decode
    return [decode(line) for line in path.read_bytes().splitlines()]
