"""How commands stand in the log, for ever: tags and the order of their members."""

from datetime import UTC, datetime, timedelta
from typing import Final

#: Fields of each command by its tag in the log; the order is part of the format for ever.
FIELDS: Final[dict[int, tuple[str, ...]]] = {
    101: ("reference", "kind", "country"),
    201: ("owner", "currency", "product", "nature", "hold_limit", "posting_limit"),
    202: ("account",),
    203: ("mandate", "movements", "reference"),
    204: ("hold",),
    205: ("mandate", "groups", "reference"),
    401: (
        "account",
        "amount",
        "currency",
        "card",
        "merchant",
        "merchant_account",
        "device",
        "ip",
        "mcc",
        "country",
        "latitude_e4",
        "longitude_e4",
        "channel",
        "capture",
        "expires_in_s",
        "occurred_at",
    ),
    402: (
        "debit",
        "credit",
        "amount",
        "currency",
        "device",
        "ip",
        "country",
        "latitude_e4",
        "longitude_e4",
        "channel",
        "occurred_at",
    ),
    411: (
        "debit",
        "credit",
        "amount",
        "currency",
        "device",
        "ip",
        "country",
        "latitude_e4",
        "longitude_e4",
        "channel",
        "occurred_at",
        "text",
        "text_signals",
    ),
    403: ("payment", "amount", "final"),
    404: ("payment", "amount"),
    405: ("payment", "amount"),
    406: ("payment", "reason_code"),
    407: ("payment",),
    408: ("payment", "has_passed"),
    409: ("payment",),
    502: ("mandate", "terms"),
}
MOVEMENT: Final = (
    "kind",
    "amount",
    "currency",
    "debit",
    "credit",
    "hold",
    "final",
    "expires_at",
    "tolerance_bps",
    "code",
)
#: Commands of the bank's own that touch nothing of what the model knows: degraded decisions that
#: are judged again, acts, anomalies, watched controls, the vault's keys. Rows that one of them left
#: behind would be found all the same, unexplained.
BESIDE: Final = frozenset({301, 501, 540, 541, 550})
#: Commands whose refusal is an event, because money is concerned.
RECORDED: Final = frozenset({203, 205, 401, 402, 403, 404, 405, 406, 407, 408, 409, 411})


def instant(us: int) -> str:
    """An instant as clients see it."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
