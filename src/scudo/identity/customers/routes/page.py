"""A page for browsers: signs up, adds passkeys, logs in, pays and confirms, by the API alone."""

from importlib import resources
from typing import Final

from scudo.fabric import web
from scudo.identity.customers.routes.wire import TAG

_FOLDER: Final = resources.files("scudo.identity.customers") / "page"
#: Nothing inline, nothing from elsewhere, inside no other page.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"permissions-policy",
        b"publickey-credentials-create=(self), publickey-credentials-get=(self)",
    ),
)


def page_operations() -> tuple[web.Operation, ...]:
    """List the operations that give the page, its script and its style."""
    return (
        _file("/passkeys", "show_passkeys", "passkeys.html", "text/html", "Show the page"),
        _file("/passkeys/page.js", "get_page_script", "page.js", "text/javascript", "Its script"),
        _file("/passkeys/page.css", "get_page_style", "page.css", "text/css", "Its style"),
    )


def _file(path: str, name: str, file: str, media: str, summary: str) -> web.Operation:
    content = (_FOLDER / file).read_bytes()

    async def give(call: web.Call) -> web.Reply:
        del call
        return web.Reply(200, content, _HEADERS)

    return web.Operation(
        method="GET",
        path=path,
        name=name,
        summary=summary,
        tag=TAG,
        scope=None,
        handler=give,
        answers={200: str},
        media=f"{media}; charset=utf-8",
    )
