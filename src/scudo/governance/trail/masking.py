"""What of a request may be kept: only what is known to be harmless by its form."""

import re
from typing import Any, Final

#: Ids, currencies and instants as the bank writes them; everything else might be about a person,
#: a day alone too: it may be the one of a birth.
_HARMLESS: Final = re.compile(
    r"[a-z]{2,3}_[0-9a-f]{16}"
    r"|[A-Z]{3}"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)",
    re.ASCII,
)
#: Card numbers have from 12 digits on (ISO/IEC 7812-1: at most 19); amounts here have fewer.
_NUMBER_MAX: Final = 10**11
_ITEMS_MAX: Final = 20
_DEPTH_MAX: Final = 8


def masked(value: Any, *, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON
    """Give a JSON value with every text masked that is not harmless by its form.

    A masked text keeps its length, a long list its first items. Member names are ours: the
    value was decoded by a schema that knows no others.
    """
    match value:
        case bool() | None:
            return value
        case int():
            return value if abs(value) < _NUMBER_MAX else "*" * len(str(abs(value)))
        case str():
            return value if _HARMLESS.fullmatch(value) else f"*{len(value)}"
        case dict() if depth < _DEPTH_MAX:
            return {str(name): masked(member, depth=depth + 1) for name, member in value.items()}
        case list() | tuple() if depth < _DEPTH_MAX:
            return [masked(item, depth=depth + 1) for item in value[:_ITEMS_MAX]]
        case _:
            return "*"
