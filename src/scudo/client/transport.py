"""Sending requests and reading answers, for both colours of the client.

What decides (is this safe to repeat, how long to wait, what does the answer mean) is
written once and does no input or output; the two transports only send and sleep.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self, TypeVar
from urllib.parse import quote, urlencode

import httpx
import msgspec

from scudo.client.errors import BankUnreachable, ClientRefusal, Problem
from scudo.kernel import rfc3339

T = TypeVar("T")

#: The bank, or a proxy before it, is not able to take the request now.
_TRY_AGAIN: Final = frozenset({429, 502, 503, 504})
_FIRST_PROBLEM: Final = 400
_TIMEOUT_S: Final = 30.0
_encode: Final = msgspec.json.Encoder().encode
_problem: Final = msgspec.json.Decoder(Problem).decode
_Parameter = str | int | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how fast a request that is safe to repeat is repeated.

    Attributes:
        attempts: in all; 1 never repeats.
        first_wait_s: before the second attempt; doubles from then on.
        longest_wait_s: no wait is longer, whatever Retry-After says.
    """

    attempts: int = 5
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0

    def wait_s(self, attempt: int, retry_after: str | None) -> float:
        """Seconds before the attempt after this one (1 is the first).

        Half of the wait is left to chance, so that clients that were turned away
        together do not come back together.
        """
        wait = self.first_wait_s * (1 << (attempt - 1))
        if retry_after is not None and retry_after.isdecimal():
            wait = max(wait, float(retry_after))
        wait = min(wait, self.longest_wait_s)
        return wait / 2 + random.uniform(0, wait / 2)  # noqa: S311 - jitter, no secret


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, the same for every attempt, with its idempotency key.

    Every request of this client is safe to repeat: reads change nothing, and all
    others carry a key under which the bank does them at most once.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    content: bytes | None
    key: str | None


def exchange(  # noqa: PLR0913 - one parameter per property
    method: str,
    path: str,
    *,
    query: Mapping[str, _Parameter] | None,
    body: msgspec.Struct | None,
    form: msgspec.Struct | None,
    key: str | None,
    ordered_at: int | None,
) -> Exchange:
    """Put a request together; without a key of the caller's one is made."""
    headers: dict[str, str] = {}
    if method != "GET":
        key = key or str(uuid.uuid4())
        headers["idempotency-key"] = key
    if ordered_at is not None:
        headers["scudo-ordered-at"] = rfc3339(ordered_at)
    content = None
    if body is not None:
        content = _encode(body)
        headers["content-type"] = "application/json"
    elif form is not None:
        content = urlencode(msgspec.to_builtins(form)).encode("ascii")
        headers["content-type"] = "application/x-www-form-urlencoded"
    shown = {name: str(value) for name, value in (query or {}).items() if value is not None}
    return Exchange(method, path, shown, headers, content, key)


def path_part(value: str) -> str:
    """Write a value as one segment of a path."""
    return quote(value, safe="")


def read_answer(response: httpx.Response, answer: type[T]) -> T:
    """Read what came back.

    Raises:
        ClientRefusal: if it is a problem.
    """
    if response.status_code >= _FIRST_PROBLEM:
        raise ClientRefusal(_problem_of(response))
    if answer is type(None):
        return None
    if response.headers.get("content-type", "").startswith("text/"):
        return response.text  # type: ignore[return-value] # the type of such answers is str
    return msgspec.json.decode(response.content, type=answer)


def _problem_of(response: httpx.Response) -> Problem:
    try:
        return _problem(response.content)
    except msgspec.MsgspecError:
        # Not the bank's own answer: something between us and it.
        return Problem(
            status=response.status_code,
            code="gateway",
            detail=f"something before the bank answered with status {response.status_code}",
            retryable=response.status_code in _TRY_AGAIN,
            next_step="Look at what stands between this client and the bank.",
        )


def _headers(token: str | None) -> dict[str, str]:
    named = {"accept": "*/*", "user-agent": "scudo-client"}
    return named if token is None else {**named, "authorization": f"Bearer {token}"}


class Transport:
    """Sends requests and waits for their answers."""

    def __init__(self, url: str, *, token: str | None, retry: Retry | None = None) -> None:
        """Connect to a bank when first asked.

        Args:
            url: such as http://127.0.0.1:8420.
            token: of a client; None for what is open to everybody.
            retry: how to repeat; sensible by default.
        """
        self._http = httpx.Client(base_url=url, headers=_headers(token), timeout=_TIMEOUT_S)
        self._retry = retry or Retry()

    def __enter__(self) -> Self:
        """Use as a context manager."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections."""
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _send(  # noqa: PLR0913 - one parameter per property
        self,
        method: str,
        path: str,
        *,
        answer: type[T],
        query: Mapping[str, _Parameter] | None = None,
        body: msgspec.Struct | None = None,
        form: msgspec.Struct | None = None,
        key: str | None = None,
        ordered_at: int | None = None,
    ) -> T:
        request = exchange(
            method, path, query=query, body=body, form=form, key=key, ordered_at=ordered_at
        )
        attempt = 0
        while True:
            attempt += 1
            is_last = attempt >= self._retry.attempts
            retry_after = None
            try:
                response = self._http.request(
                    request.method,
                    request.path,
                    params=request.query,
                    headers=request.headers,
                    content=request.content,
                )
            except httpx.TransportError as error:
                if is_last:
                    raise BankUnreachable(str(error), key=request.key) from error
            else:
                if is_last or response.status_code not in _TRY_AGAIN:
                    return read_answer(response, answer)
                retry_after = response.headers.get("retry-after")
            time.sleep(self._retry.wait_s(attempt, retry_after))


class AsyncTransport:
    """Sends requests and awaits their answers."""

    def __init__(self, url: str, *, token: str | None, retry: Retry | None = None) -> None:
        """Connect to a bank when first asked.

        Args:
            url: such as http://127.0.0.1:8420.
            token: of a client; None for what is open to everybody.
            retry: how to repeat; sensible by default.
        """
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(token), timeout=_TIMEOUT_S)
        self._retry = retry or Retry()

    async def __aenter__(self) -> Self:
        """Use as a context manager."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _send(  # noqa: PLR0913 - one parameter per property
        self,
        method: str,
        path: str,
        *,
        answer: type[T],
        query: Mapping[str, _Parameter] | None = None,
        body: msgspec.Struct | None = None,
        form: msgspec.Struct | None = None,
        key: str | None = None,
        ordered_at: int | None = None,
    ) -> T:
        request = exchange(
            method, path, query=query, body=body, form=form, key=key, ordered_at=ordered_at
        )
        attempt = 0
        while True:
            attempt += 1
            is_last = attempt >= self._retry.attempts
            retry_after = None
            try:
                response = await self._http.request(
                    request.method,
                    request.path,
                    params=request.query,
                    headers=request.headers,
                    content=request.content,
                )
            except httpx.TransportError as error:
                if is_last:
                    raise BankUnreachable(str(error), key=request.key) from error
            else:
                if is_last or response.status_code not in _TRY_AGAIN:
                    return read_answer(response, answer)
                retry_after = response.headers.get("retry-after")
            await asyncio.sleep(self._retry.wait_s(attempt, retry_after))
