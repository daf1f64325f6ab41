"""What people do beside payments, written down: who, what, when, and what they were told."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

#: Members of answers that laws are about; tokens and personal data are not written down.
_TOLD: Final = frozenset(
    {"code", "code_id", "customer_id", "customer_ids", "id", "session_id", "state"}
)


class Deed(msgspec.Struct, frozen=True):
    """One request of somebody.

    Attributes:
        about: what it was about: ids, and digests in hex.
        began, ended: nanoseconds of the machine's monotonic clock, the same for all.
        status: of HTTP; 0 if no answer came.
        told: what the answer says.
    """

    who: str
    what: str
    about: dict[str, Any]
    began: int
    ended: int
    status: int
    told: dict[str, Any]

    @property
    def code(self) -> str:
        """Refusal code; empty for a success or where no answer came."""
        return str(self.told.get("code", "")) if self.status >= 400 else ""

    @property
    def is_unknown(self) -> bool:
        """Whether it may have been done, or not."""
        return self.status == 0 or self.status >= 500


class Diary:
    """Somebody's deeds, one JSON line each, written at once."""

    def __init__(self, path: Path, who: str) -> None:
        self.path, self.who = path, who

    def ask(
        self, what: str, about: dict[str, Any], send: Callable[[], httpx.Response]
    ) -> tuple[Deed, dict[str, Any]]:
        """Do something and write it down; gives the whole answer too."""
        began, status, body = time.monotonic_ns(), 0, {}
        with contextlib.suppress(httpx.HTTPError):
            answer = send()
            status = answer.status_code
            with contextlib.suppress(ValueError):
                found = answer.json() if answer.content else {}
                body = found if isinstance(found, dict) else {}
        told = {name: value for name, value in body.items() if name in _TOLD}
        deed = Deed(self.who, what, about, began, time.monotonic_ns(), status, told)
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(deed) + b"\n")
        return deed, body


def read(paths: Iterable[Path]) -> list[Deed]:
    """Read diaries."""
    decode = msgspec.json.Decoder(Deed).decode
    return [decode(line) for path in paths for line in path.read_bytes().splitlines()]


def digest_of(token: str | None) -> str:
    """What a token is known by in the log, in hex."""
    return hashlib.sha256((token or "").encode()).hexdigest()
