"""The customers' part of the identity room as the rooms' one application sees it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from scudo.fabric import Answer, Command, Entry, Reference, Register
from scudo.governance import Gates, Shut
from scudo.identity.commands import Registry
from scudo.identity.customers.commands import (
    Activate,
    AddPasskey,
    BeginStepUp,
    ConfirmTotp,
    EndSessions,
    FailProof,
    JudgeAct,
    LogIn,
    MailCode,
    ProveStepUp,
    Recover,
    Refresh,
    RemovePasskey,
    ReportMisuse,
    SetPassword,
    StopRecovery,
)
from scudo.identity.customers.judging import Judging
from scudo.identity.customers.log_in import LogIns
from scudo.identity.customers.logic import device_number
from scudo.identity.customers.model import (
    ACCOUNT_KIND,
    ADDRESS_KIND,
    CODE_KIND,
    DEVICE_KIND,
    PASSKEY_KIND,
    REFRESH_KIND,
    SESSION_KIND,
    STEP_UP_KIND,
    Terms,
)
from scudo.identity.customers.sign_up import SignUp
from scudo.identity.customers.step_ups import StepUps
from scudo.identity.customers.store import CustomerStore


class CustomerKeeper:
    """Keeps how customers prove who they are.

    Attributes:
        store: their records.
        step_ups: spent by other rooms inside the entry of the act that they are for.
    """

    def __init__(self, registry: Registry, *, gates: Gates | None = None) -> None:
        """Keep records of the customers of one registry; `gates` decide on who comes in."""
        self.store = CustomerStore(registry, gates or Shut(), Terms())
        self.step_ups = StepUps(self.store)
        sign_up, log_ins = SignUp(self.store), LogIns(self.store, self.step_ups)
        self._handlers: dict[type[Command], Callable[[Any, Entry], Answer]] = {
            MailCode: sign_up.mail_code,
            Activate: sign_up.activate,
            Recover: sign_up.recover,
            StopRecovery: sign_up.stop_recovery,
            LogIn: log_ins.log_in,
            Refresh: log_ins.refresh,
            EndSessions: log_ins.end_sessions,
            ReportMisuse: log_ins.report_misuse,
            FailProof: log_ins.fail_proof,
            JudgeAct: Judging(self.store).judge,
            AddPasskey: log_ins.add_passkey,
            RemovePasskey: log_ins.remove_passkey,
            SetPassword: log_ins.set_password,
            ConfirmTotp: log_ins.confirm_totp,
            BeginStepUp: self.step_ups.begin,
            ProveStepUp: self.step_ups.prove,
        }

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers of all kinds."""
        return self.store.registers

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """What works on each kind of command."""
        return self._handlers

    def refers_to(self, command: Command) -> Iterator[Reference]:  # noqa: C901, PLR0912 - one case per kind
        """Records that a command needs, as far as memory can tell."""
        match command:
            case MailCode():
                yield ADDRESS_KIND, command.address
                # For an address of nobody the same is looked up, in vain.
                yield ACCOUNT_KIND, self.store.customer_at(command.address) or command.address
            case Activate():
                yield from self._activation(command)
            case Recover():
                yield CODE_KIND, command.code
                yield PASSKEY_KIND, command.passkey
                yield from self._customer(command.customer)
                yield DEVICE_KIND, device_number(command.customer, command.bearing.thumbprint)
            case LogIn():
                yield PASSKEY_KIND, command.passkey
                yield CODE_KIND, command.mailed
                yield from self._customer(command.customer)
                yield DEVICE_KIND, device_number(command.customer, command.bearing.thumbprint)
            case Refresh():
                yield REFRESH_KIND, command.old
                token = self.store.refreshes.get(command.old)
                if token is not None:
                    yield from self._session(token.session)
            case BeginStepUp():
                yield SESSION_KIND, command.session
            case JudgeAct():
                yield from self._session(command.session)
            case ProveStepUp():
                yield from self.step_up(command.number)
                yield PASSKEY_KIND, command.passkey
                yield from self._session(command.session)
            case AddPasskey() | RemovePasskey():
                yield PASSKEY_KIND, command.number
                yield from self._change(command)
            case SetPassword() | ConfirmTotp():
                yield from self._change(command)
            case StopRecovery() | EndSessions():
                yield SESSION_KIND, command.session
                yield from self._customer(command.customer)
            case _:
                # A misuse or a failure that is reported refers to nothing.
                pass

    def _activation(self, command: Activate) -> Iterator[Reference]:
        yield CODE_KIND, command.code
        yield ADDRESS_KIND, command.address
        customer = self.store.customer_at(command.address)
        if customer:
            yield from self._customer(customer)
            yield DEVICE_KIND, device_number(customer, command.bearing.thumbprint)

    def all_of(self, customer: int) -> Iterator[Reference]:
        """Records of a customer's credentials and sessions, as far as memory can tell."""
        yield from self._customer(customer)
        account = self.store.accounts.get(customer)
        if account is not None:
            yield ADDRESS_KIND, account.address
            for passkey in account.passkeys:
                yield PASSKEY_KIND, passkey

    def take_back(self, entry: Entry, customer: int) -> None:
        """End a customer's sessions and credentials, and let the address go to somebody new."""
        self.store.take_back(entry, customer)

    def step_up(self, number: int) -> Iterator[Reference]:
        """Records that spending a step-up needs."""
        yield STEP_UP_KIND, number
        step_up = self.store.step_ups.get(number)
        if step_up is not None:
            yield SESSION_KIND, step_up.session

    def _change(
        self, command: AddPasskey | RemovePasskey | SetPassword | ConfirmTotp
    ) -> Iterator[Reference]:
        yield SESSION_KIND, command.session
        yield from self.step_up(command.step_up)
        yield from self._customer(command.customer)

    def _session(self, number: int) -> Iterator[Reference]:
        yield SESSION_KIND, number
        session = self.store.sessions.get(number)
        if session is not None:
            yield from self._customer(session.customer)

    def _customer(self, number: int) -> Iterator[Reference]:
        """A customer's account and sessions: any of them may have to end."""
        yield ACCOUNT_KIND, number
        account = self.store.accounts.get(number)
        if account is not None:
            for session in account.sessions:
                yield SESSION_KIND, session
            if account.recovered_in:
                yield SESSION_KIND, account.recovered_in
