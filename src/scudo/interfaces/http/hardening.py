"""What every answer says, so that no browser, cache or other page makes more of it.

Answers hold people's money matters: nobody keeps them, guesses their type, frames them, runs
anything in them, or tells others by what address they were asked for. A page that is meant for
people brings a policy of its own, which stands in place of ours.

Source:
    HSTS: RFC 6797. Policy: Content Security Policy Level 3, and RFC 9110 for what a browser
    does with an answer that is opened directly. Browsers heed HSTS over TLS only.
"""

from collections.abc import Sequence
from typing import Final

_POLICY: Final = (
    b"default-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'; sandbox"
)
#: For answers that say nothing of this themselves.
ALWAYS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=63072000; includeSubDomains"),
    (b"content-security-policy", _POLICY),
)


def always(own: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    """What an answer with these headers says besides."""
    if not own:
        return ALWAYS
    names = {name for name, _ in own}
    return tuple(line for line in ALWAYS if line[0] not in names)
