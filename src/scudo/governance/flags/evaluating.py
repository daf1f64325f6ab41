"""Flags as OpenFeature evaluates them: from memory, once per request, and never in the way.

Source:
    OpenFeature specification 0.8, requirement 1.4.10: an evaluation never raises, and gives the
    caller's default when something is wrong.
"""

import asyncio
import contextlib
from collections import Counter
from itertools import count
from typing import Any, Final, TypeVar

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, FeatureProvider, Metadata

from scudo.fabric import web
from scudo.governance.flags.keeping import Flags

#: A provider that has not answered after so long is not waited for. Ours answers from memory, in
#: microseconds; a machine that is busy with something else may let it wait for some milliseconds.
PATIENCE_S: Final = 0.05
#: One that was slow or failed is not asked again for so long.
_REST_S: Final = 1.0
_MISMATCHED: Final = "type_mismatch"
#: Nothing is wrong with the provider then.
_OF_THE_CALLER: Final = frozenset({_MISMATCHED, "flag_not_found"})
_domains: Final = count(1)

V = TypeVar("V", bool, int, str)


class FlagProvider(AbstractProvider):
    """Answers from the records of one bank.

    It sees what the writer decides, which may be a moment before the commit: for how an answer
    looks this is soon enough and harmless, and nothing else may ask.
    """

    def __init__(self, flags: Flags) -> None:
        """Answer from what is kept."""
        super().__init__()
        self._flags = flags

    def get_metadata(self) -> Metadata:
        """Name of this provider."""
        return Metadata("scudo")

    def _resolve(
        self,
        flag_key: str,
        default_value: object,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Any]:
        """Find the value of any type; the caller's type is the flag's or it is an error."""
        del evaluation_context
        flag = self._flags.declared.get(flag_key)
        if flag is None:
            return FlagResolutionDetails(default_value, error_code=ErrorCode.FLAG_NOT_FOUND)
        found = self._flags.set_value(flag)
        reason = Reason.DEFAULT if found is None else Reason.STATIC
        value = flag.default if found is None else found
        # What was approved under an older declaration may not be allowed any more.
        if type(value) is not type(default_value) or not flag.allows(value):
            return FlagResolutionDetails(default_value, error_code=ErrorCode.TYPE_MISMATCH)
        return FlagResolutionDetails(value, reason=reason)

    resolve_boolean_details = _resolve
    resolve_string_details = _resolve
    resolve_integer_details = _resolve
    resolve_float_details = _resolve
    resolve_object_details = _resolve


class FlagReader:
    """Evaluates flags at the edge: each once per request, whose `Call` remembers it.

    Attributes:
        fallbacks: how often a caller's default stood in, by reason: the error code of
            OpenFeature in lower case, `slow`, or `resting` after a provider was slow or failed.
    """

    def __init__(self, provider: FeatureProvider, *, patience_s: float = PATIENCE_S) -> None:
        """Evaluate by a provider, under a domain of its own; begin it.

        Args:
            provider: is asked.
            patience_s: how long a request waits for it, seconds.
        """
        self._patience_s = patience_s
        domain = f"scudo-{next(_domains)}"
        # One that cannot begin is down: its defaults stand in.
        with contextlib.suppress(Exception):
            api.set_provider_and_wait(provider, domain)
        client = api.get_client(domain)
        self._ask: dict[type, Any] = {
            bool: client.get_boolean_details_async,
            int: client.get_integer_details_async,
            str: client.get_string_details_async,
        }
        self.fallbacks: Counter[str] = Counter()
        self._rests_until = 0.0

    async def value(self, call: web.Call, name: str, default: V) -> V:
        """Give the value that a flag has for a request.

        Args:
            call: the request; what was found first for it holds until it is answered.
            name: of the flag.
            default: stands in when the value cannot be found out at once. Its type is the flag's.
        """
        remembered = call.flags.get(name)
        if type(remembered) is type(default):
            return remembered
        found = await self._evaluate(name, default)
        call.flags[name] = found
        return found

    async def _evaluate(self, name: str, default: V) -> V:
        loop = asyncio.get_running_loop()
        if loop.time() < self._rests_until:
            return self._stand_in("resting", default)
        asked = asyncio.ensure_future(self._ask[type(default)](name, default))
        try:
            await asyncio.wait({asked}, timeout=self._patience_s)
        finally:
            if not asked.done():
                asked.cancel()
                asked.add_done_callback(_forget)
        reason, value = _outcome(asked)
        if reason is None and type(value) is type(default):
            found: V = value
            return found
        reason = reason or _MISMATCHED
        if reason not in _OF_THE_CALLER:
            self._rests_until = loop.time() + _REST_S
        return self._stand_in(reason, default)

    def _stand_in(self, reason: str, default: V) -> V:
        self.fallbacks[reason] += 1
        return default


def _outcome(asked: "asyncio.Future[Any]") -> tuple[str | None, Any]:
    """Why there is no value, or None and the value."""
    if not asked.done():
        return "slow", None
    if asked.cancelled() or asked.exception() is not None:
        return "general", None
    details = asked.result()
    code = details.error_code
    return None if code is None else code.value.lower(), details.value


def _forget(asked: "asyncio.Future[Any]") -> None:
    # Whatever it came to in the end, nobody waits for it.
    if not asked.cancelled():
        asked.exception()
