"""The HTTP operation that shows customers themselves."""

from typing import Final

from scudo.fabric import web
from scudo.governance import flags
from scudo.identity.customers.errors import SessionOver
from scudo.identity.customers.model import Account
from scudo.identity.customers.office import Office
from scudo.identity.customers.routes.wire import (
    SELF,
    SESSION_REFUSALS,
    TAG,
    Me,
    PasskeyView,
    assurance_name,
)
from scudo.kernel import Prefix, ids, rfc3339

#: Presentation only: what the session may do does not depend on it.
_GIVES_ADVICE: Final = "me_gives_advice"
#: Fewer recovery codes than this are soon none.
_CODES_MIN: Final = 3


def advice_for(account: Account) -> str | None:
    """Say what would make the next log-in of somebody safer, in one sentence."""
    if not account.passkeys:
        return "Add a passkey: nobody can talk you out of it."
    if len(account.passkeys) == 1:
        return "Add a second passkey, so that you get in when the first device is lost."
    if account.has_totp and len(account.recovery) < _CODES_MIN:
        return "Make new recovery codes: few are left."
    return None


class _MirrorDesk:
    """Shows customers how they prove who they are."""

    def __init__(self, office: Office, reader: flags.FlagReader) -> None:
        self._office, self._flags = office, reader

    async def me(self, call: web.Call) -> web.Reply:
        office, customer = self._office, call.client.customer
        assert customer is not None, "a session is a customer's"
        session = await office.session(call)
        account = await office.account(customer)
        views = []
        for number in account.passkeys:
            stored = await office.find(office.store.passkeys, number)
            assert stored is not None, "an account's passkeys are stored"
            views.append(
                PasskeyView(
                    ids.show(Prefix.PASSKEY, number),
                    rfc3339(stored.added_at),
                    stored.passkey.is_synced,
                )
            )
        is_cooling = account.cooling_until > office.ports.now()
        gives_advice = await self._flags.value(call, _GIVES_ADVICE, default=False)
        return web.Reply(
            200,
            Me(
                customer_id=ids.show(Prefix.CUSTOMER, customer),
                session_id=ids.show(Prefix.SESSION, office.own_session(call)),
                assurance=assurance_name(session.assurance),
                passkeys=tuple(views),
                has_password=bool(account.password_digest),
                has_totp=account.has_totp,
                recovery_codes_left=len(account.recovery),
                cooling_off_until=rfc3339(account.cooling_until) if is_cooling else None,
                advice=advice_for(account) if gives_advice else None,
            ),
        )


def me_operations(office: Office, reader: flags.FlagReader) -> tuple[web.Operation, ...]:
    """List the operation."""
    desk = _MirrorDesk(office, reader)
    return (
        web.Operation(
            method="GET",
            path="/v1/me",
            name="get_me",
            summary="Show how the customer of this session proves who they are",
            tag=TAG,
            scope=SELF,
            handler=desk.me,
            answers={200: Me},
            refusals=(SessionOver, *SESSION_REFUSALS, *web.READ_REFUSALS),
        ),
    )
