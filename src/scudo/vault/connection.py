"""One connection to the vault: frames that are read with suspicion, and answered."""

import abc
import asyncio
from typing import Final, cast

import msgspec

from scudo.kernel import Refusal
from scudo.vault.answers import Answer, Done, Refused
from scudo.vault.callers import Asker
from scudo.vault.custody import Custody
from scudo.vault.errors import VaultRequestMalformed
from scudo.vault.wire import FRAME_BYTES_MAX, LENGTH, Answered, framed, read_asked, read_request

IN_FLIGHT_MAX: Final = 64


class Connection(asyncio.Protocol, abc.ABC):
    """Answers the frames of one asker, once `admit` has said who it is.

    Attributes:
        asker: who asks; None until it is known, and after the connection ended.
        tasks: requests under way.
        slow_since: of the loop's clock: since when half a frame waits for its rest, or an
            answer to be read; None: neither does.
    """

    def __init__(self, custody: Custody) -> None:
        """Answer from a vault."""
        self._custody = custody
        self._transport: asyncio.Transport | None = None
        self._read = bytearray()
        self.asker: Asker | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.slow_since: float | None = None
        self._is_paused = False
        self._is_slow = False

    @abc.abstractmethod
    def admit(self, transport: asyncio.Transport) -> Asker | None:
        """Who asks; None: it was told that it may not."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See who it is, and let nobody else in."""
        # Transports of other event loops do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self.asker = self.admit(self._transport)
        if self.asker is None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the protocol
        """Forget it; what is under way is done, and answered to nobody."""
        self.asker = None
        self._transport = None

    def pause_writing(self) -> None:
        """Read no more of one who does not read."""
        self._is_slow = True
        self._pause()
        self._note_slowness()

    def resume_writing(self) -> None:
        """Read on."""
        self._is_slow = False
        self._resume()
        self._note_slowness()

    def data_received(self, data: bytes) -> None:
        """Take the frames that are complete."""
        self._read += data
        self._take()
        if self._read or self.slow_since is not None:
            self._note_slowness()

    def abandon(self) -> None:
        """Close the connection, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close the connection, after what is written."""
        if self._transport is not None:
            self._transport.close()

    def refuse(self, refusal: Refusal) -> None:
        """Say why nothing is answered on this connection."""
        self._say(0, Refused(refusal.code, refusal.message, refusal.field))

    def welcome(self) -> None:
        """Say that requests will be answered."""
        self._say(0, Done())

    def _note_slowness(self) -> None:
        # What waits because of us, behind requests under way, is nobody's slowness.
        waits = self._is_slow or (bool(self._read) and not self._is_paused)
        if not waits:
            self.slow_since = None
        elif self.slow_since is None:
            self.slow_since = asyncio.get_running_loop().time()

    def _take(self) -> None:
        while not self._is_paused and self.asker is not None and len(self._read) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._read)
            if not 0 < size <= FRAME_BYTES_MAX:
                self._refuse_frame()
                return
            end = LENGTH.size + size
            if len(self._read) < end:
                return
            frame = bytes(self._read[LENGTH.size : end])
            del self._read[:end]
            self.slow_since = None
            try:
                asked = read_asked(frame)
            except msgspec.MsgspecError:
                self._refuse_frame()
                return
            task = asyncio.create_task(self._answer(asked.number, asked.request, self.asker))
            self.tasks.add(task)
            task.add_done_callback(self._answered)
            if len(self.tasks) >= IN_FLIGHT_MAX:
                self._pause()

    def _refuse_frame(self) -> None:
        """Say no, and trust nothing that follows."""
        self._read.clear()
        self.asker = None
        self.refuse(VaultRequestMalformed("this is no frame of the vault's client"))
        self.close()

    async def _answer(self, number: int, raw: msgspec.Raw, asker: Asker) -> None:
        try:
            request = read_request(raw)
        except msgspec.MsgspecError:
            # What the decoder says would quote what was sent.
            unread = VaultRequestMalformed("this is no request of the vault's")
            self._say(number, Refused(unread.code, unread.message))
            return
        self._say(number, await self._custody.answer(request, asker=asker))

    def _answered(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if self._is_paused and len(self.tasks) < IN_FLIGHT_MAX // 2:
            self._resume()

    def _say(self, number: int, answer: Answer) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(framed(Answered(number, answer)))  # type: ignore[arg-type] # every answer is one of AnyAnswer

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        may_go_on = not self._is_slow and len(self.tasks) < IN_FLIGHT_MAX
        if self._is_paused and may_go_on and self._transport is not None:
            self._is_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
            self._take()
