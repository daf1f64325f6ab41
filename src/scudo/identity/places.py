"""In which country a network is, by a list that the installation gives.

The list is a file of lines `network,country`, as public lists of countries have them: a network
as `192.0.2.0/24` or `2001:db8::/32`, and the country as two letters or a number of ISO 3166-1.
Of networks within each other the smallest counts. Letters that are no country's (`ZZ`, `EU`)
say that it is not known. It is read again when it changes; what cannot be read then is left
alone, and the list before it holds.

Source:
    Longest prefix: RFC 4632 section 5.1. IPv4 addresses in IPv6: RFC 4291 section 2.5.5.2.
"""

import asyncio
import ipaddress
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog

from scudo.kernel import COUNTRIES, SECOND_US, Refusal

_log: Final = structlog.get_logger("scudo.identity")
#: How often it is looked whether the file has changed.
_LOOK_EVERY_US: Final = 10 * SECOND_US
_NUMBERS: Final = frozenset(COUNTRIES.values())
_UNKNOWN: Final = 0
_LETTERS: Final = 2
_HEADER: Final = "network"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: First and last address of a network, and its country.
_Range = tuple[int, int, int]


class NetworksUnfit(Refusal):
    """Raised when the list of networks and countries cannot be read."""

    code = "networks_unfit"
    next_step = "Write lines like 192.0.2.0/24,CH, or unset SCUDO_NETWORKS."


class _Table:
    """Countries of one version of the protocol: where each begins, and which it is."""

    __slots__ = ("_countries", "_starts")

    def __init__(self, ranges: list[_Range]) -> None:
        """Cut networks within each other into stretches that touch and do not overlap."""
        self._starts: list[int] = []
        self._countries = array("H")
        around: list[_Range] = []
        for found in sorted(ranges, key=lambda r: (r[0], -r[1])):
            self._close(around, before=found[0])
            self._begin(found[0], found[2])
            around.append(found)
        self._close(around, before=None)

    def _close(self, around: list[_Range], *, before: int | None) -> None:
        while around and (before is None or around[-1][1] < before):
            last = around.pop()[1]
            self._begin(last + 1, around[-1][2] if around else _UNKNOWN)

    def _begin(self, start: int, country: int) -> None:
        if self._starts and self._starts[-1] == start:
            self._countries[-1] = country
        else:
            self._starts.append(start)
            self._countries.append(country)

    def country(self, address: int) -> int | None:
        place = bisect_right(self._starts, address) - 1
        return (self._countries[place] or None) if place >= 0 else None


class Networks:
    """The countries of networks, as one list has them."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Read a list.

        Raises:
            NetworksUnfit: names the first line that cannot be read.
        """
        ranges: dict[int, list[_Range]] = {4: [], 6: []}
        for number, line in enumerate(lines, 1):
            text = line.strip().replace('"', "")
            if not text or text.startswith("#") or text.lower().startswith(_HEADER):
                continue
            named, _, country = (part.strip() for part in text.partition(","))
            try:
                network: Network = ipaddress.ip_network(named)
                code = _country(country)
            except ValueError as error:
                message = f"line {number} of the networks is not a network, a comma and a country"
                raise NetworksUnfit(message, field=str(number)) from error
            first, last = int(network.network_address), int(network.broadcast_address)
            ranges[network.version].append((first, last, code))
        self._tables = {version: _Table(found) for version, found in ranges.items()}

    def country(self, address: str) -> int | None:
        """The ISO 3166-1 number of an address's country; None: nobody knows, or it is none."""
        try:
            read = ipaddress.ip_address(address)
        except ValueError:
            return None
        mapped = getattr(read, "ipv4_mapped", None) or read
        return self._tables[mapped.version].country(int(mapped))


def _country(text: str) -> int:
    """The number of a country; 0 for two letters that are no country's.

    Raises:
        ValueError: for anything else.
    """
    if len(text) == _LETTERS and text.isascii() and text.isalpha():
        return COUNTRIES.get(text.upper(), _UNKNOWN)
    number = int(text) if text.isascii() and text.isdecimal() else -1
    if number not in _NUMBERS:
        raise ValueError
    return number


class Places:
    """Knows countries by a file, and reads it again when it changes.

    Use it from the event loop's thread only.
    """

    def __init__(self, file: Path, *, now: Callable[[], int]) -> None:
        """Read the file.

        Args:
            file: the list.
            now: our wall clock, microseconds.

        Raises:
            NetworksUnfit: if it cannot be read.
        """
        self._file = file
        self._now = now
        self._looked_at = now()
        try:
            self._seen = _version(file)
            self._networks = _read(file)
        except OSError as error:
            message = f"the list of networks {file.name} cannot be read"
            raise NetworksUnfit(message) from error
        self._reading: asyncio.Future[None] | None = None

    def country(self, address: str) -> int | None:
        """The ISO 3166-1 number of an address's country; None: nobody knows, or it is none."""
        if self._now() - self._looked_at >= _LOOK_EVERY_US and self._reading is None:
            self._looked_at = self._now()
            self._reading = asyncio.ensure_future(self._look())
        return self._networks.country(address)

    async def _look(self) -> None:
        """Read the file again if it is another one, beside the loop."""
        try:
            version = await asyncio.to_thread(_version, self._file)
            if version == self._seen:
                return
            # Told once of each change, also of one that cannot be read.
            self._seen = version
            self._networks = await asyncio.to_thread(_read, self._file)
            _log.info("networks_read", file=self._file.name)
        except (OSError, NetworksUnfit) as refusal:
            _log.warning("networks_not_read", file=self._file.name, reason=str(refusal))
        finally:
            self._reading = None


def _version(file: Path) -> tuple[int, int, int]:
    told = file.stat()
    return told.st_mtime_ns, told.st_size, told.st_ino


def _read(file: Path) -> Networks:
    with file.open(encoding="ascii", errors="replace") as lines:
        return Networks(lines)
