"""Structured logs, configured in one place: one JSON object a line, on standard error.

Log lines carry ids, tokens, codes and durations, never personal data, request bodies
or texts that came with a request. Of an exception they therefore show its class and
where it was raised; its message only if it is one of ours about stored data, because
messages of drivers and decoders quote values.
"""

import logging
import sys
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Final, TextIO

import msgspec
import structlog

from scudo.kernel import InvariantBroken

_FRAMES_MAX: Final = 20
_CAUSES_MAX: Final = 5


def configure_logging(*, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send everything that is logged, by us or by a library, through one formatter.

    Args:
        level: least level that is shown.
        stream: where to; standard error unless said otherwise.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _show_exception,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # uvicorn tells at INFO what bootstrap tells better, and per bad request a warning.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def _to_json(line: MutableMapping[str, Any], **_ignored: object) -> str:
    return msgspec.json.encode(line, enc_hook=repr).decode("utf-8")


def _show_exception(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    given = line.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        line["exception"] = describe_exception(error)
    return line


def describe_exception(error: BaseException) -> list[dict[str, Any]]:
    """Describe an exception and its causes without quoting values."""
    described: list[dict[str, Any]] = []
    cause: BaseException | None = error
    while cause is not None and len(described) < _CAUSES_MAX:
        shown: dict[str, Any] = {"type": f"{type(cause).__module__}.{type(cause).__qualname__}"}
        if isinstance(cause, InvariantBroken | AssertionError):
            shown["message"] = str(cause)
        sqlstate = getattr(cause, "sqlstate", None)
        if sqlstate is not None:
            shown["sqlstate"] = sqlstate
        shown["frames"] = _frames(cause.__traceback__)
        described.append(shown)
        cause = cause.__cause__ or cause.__context__
    return described


def _frames(traceback: TracebackType | None) -> list[str]:
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{code.co_filename.rpartition('/')[2]}:{traceback.tb_lineno}:{code.co_name}")
        traceback = traceback.tb_next
    return frames[-_FRAMES_MAX:]
