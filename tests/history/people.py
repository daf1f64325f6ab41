"""People at a real service: customers with phones, operators with passkeys, and a clerk.

Each goes on whatever breaks meanwhile: who was not answered asks again, who was thrown out
logs in again. What they try beside what is right is what thieves and hasty colleagues try.
"""

import contextlib
import dataclasses
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx
from tests.bureau import Clerk
from tests.history.deeds import Deed, Diary, digest_of

from scudo.simulation import Phone

ROLES: Final = ("viewer", "analyst", "investigator", "compliance", "auditor", "engineer")
_CODE: Final = re.compile(r"\b\d{8}\b")
_PATIENCE_S: Final = 60
_TIMEOUT_S: Final = 20
_REFUSED: Final = 400


#: Waits until a part of the whole history has passed: from 0 to 1.
Pace = Callable[[float], None]


def at_once(part: float) -> None:
    """Wait for nothing."""


def connection(port: int, random: Random) -> httpx.Client:
    """A connection from a network of its own, so that nobody waits for others' mistakes."""
    address = f"127.{random.randint(1, 249)}.{random.randint(1, 249)}.{random.randint(2, 249)}"
    transport = httpx.HTTPTransport(local_address=address)
    url = f"http://127.0.0.1:{port}"
    return httpx.Client(base_url=url, timeout=_TIMEOUT_S, transport=transport)


def insist(ask: Callable[[], Deed]) -> Deed:
    """Ask until there is an answer that stands."""
    until = time.monotonic() + _PATIENCE_S
    while (deed := ask()).is_unknown or deed.status == 429:
        assert time.monotonic() < until, f"nobody answers {deed.what}"
        time.sleep(0.1)
    return deed


def both(*asks: Callable[[], Any]) -> None:
    """Do things at the same time."""
    threads = [threading.Thread(target=ask) for ask in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Customer:
    """Somebody with a phone, and now and then somebody who has copied its tokens."""

    def __init__(self, name: str, *, port: int, mail: Path, diary: Path, random: Random) -> None:
        self.name, self.mail, self.random = name, mail, random
        self.diary = Diary(diary, name)
        self.phone = Phone(connection(port, random))
        self.spent: list[str] = []
        self.mails: set[Path] = set()

    def close(self) -> None:
        self.phone.http.close()

    def work(self, deeds: int, pace: Pace = at_once) -> None:
        """Sign up, and do what customers and thieves do."""
        self.arrive()
        ways: list[Callable[[], Any]] = [
            self.refresh,
            self.look,
            self.log_in,
            self.end_one,
            self.end_all,
            self.reuse,
            self.refresh_twice,
        ]
        for number in range(deeds):
            pace(number / deeds)
            if self.phone.access is None:
                self.log_in()
            self.random.choices(ways, (8, 8, 2, 1, 1, 2, 2))[0]()

    # ---- coming

    def arrive(self) -> None:
        """Sign up by mail, until there is a passkey and a session by it."""
        while True:
            address = f"{self.name}-{uuid.uuid4().hex}@example.com"
            if any(self.sign_up(address) and self.add_passkey() for _ in range(3)):
                break
        self.log_in()

    def sign_up(self, address: str) -> bool:
        """Ask for a code, and enter it; False if none came, or none was taken."""
        asked = insist(lambda: self.post("sign_up", "/v1/sign-ups", {"email": address}))
        found = self._code(address)
        if asked.status != 202 or found is None:
            return False

        def activate() -> Deed:
            path = f"/v1/sign-ups/{asked.told.get('code_id', '')}/activation"
            body = {"email": address, "code": found, "country": 756}
            return self.begin("activate", path, body)

        return insist(activate).status == 201

    def _code(self, address: str) -> str | None:
        """The code in a new mail to an address; None if none comes."""
        until = time.monotonic() + 3
        while time.monotonic() < until:
            for path in set(self.mail.glob("*.eml")) - self.mails:
                mail = message_from_bytes(path.read_bytes(), policy=default)
                if mail["To"] is None:
                    continue
                if mail["To"] == address and (found := _CODE.search(mail["Subject"])):
                    self.mails.add(path)
                    return found.group()
            time.sleep(0.02)
        return None

    def add_passkey(self) -> bool:
        """Give the bank a passkey, however often its answer is lost."""
        for _ in range(20):
            with contextlib.suppress(httpx.HTTPError, KeyError):
                answer = self.phone.add_passkey()
                if answer.status_code < _REFUSED or answer.json()["code"] == "credential_taken":
                    return True
                if answer.status_code == 401:
                    self.phone.access = None
                    if self.phone.refresh is None or self.refresh().status == 401:
                        return False
            time.sleep(0.1)
        return False

    # ---- sessions

    def post(self, what: str, path: str, body: object, **about: Any) -> Deed:
        return self.diary.ask(what, about, lambda: self.phone.post(path, body))[0]

    def begin(self, what: str, path: str, body: object, **about: Any) -> Deed:
        """Ask for a session; its tokens are kept if they come."""
        self.phone.lose_tokens()
        return self.diary.ask(what, about, lambda: self.phone.keep(self.phone.post(path, body)))[0]

    def log_in(self) -> None:
        """Log in by passkey, until it is done."""

        def once() -> Deed:
            with contextlib.suppress(httpx.HTTPError, KeyError):
                self.phone.lose_tokens()
                asked = self.phone.post("/v1/log-ins/challenges").json()
                credential = self.phone.passkeys.get(asked["public_key"])
                body = {"challenge_id": asked["challenge_id"], "credential": credential}
                return self.begin("log_in", "/v1/log-ins/passkey", body)
            return Deed(self.name, "log_in", {}, 0, 0, 0, {})

        for _ in range(20):
            if insist(once).status == 201:
                return
        raise AssertionError(f"{self.name} cannot log in any more")

    def refresh(self) -> Deed:
        """Go on with the session; when no answer comes, once more with the same token."""
        token, session = self.phone.refresh, self.phone.session

        def once() -> Deed:
            about = {"token": digest_of(token), "session": session}
            self.phone.access, self.phone.refresh = None, token
            return self.diary.ask("refresh", about, self.phone.renew)[0]

        deed = insist(once)
        if deed.status == 201 and token is not None:
            self.spent.append(token)
        else:
            self.phone.lose_tokens()
        return deed

    def reuse(self) -> None:
        """A thief uses a token that was used."""
        if self.spent:
            self._steal(self.random.choice(self.spent[-5:]))

    def _steal(self, token: str) -> None:
        thief = dataclasses.replace(self.phone, access=None, refresh=token)
        about = {"token": digest_of(token)}
        self.diary.ask("refresh", about, thief.renew)

    def refresh_twice(self) -> None:
        """The owner and a thief use one token at the same moment."""
        token = self.phone.refresh
        if token is not None:
            both(lambda: self._steal(token), self.refresh)
            self.look()

    def look(self) -> None:
        """Use the access token."""
        about = {"session": self.phone.session}
        deed, _ = self.diary.ask("look", about, lambda: self.phone.get("/v1/me"))
        if deed.status == 401 and self.phone.refresh is not None:
            self.refresh()
        elif deed.status == 401:
            self.phone.lose_tokens()

    def end_one(self) -> None:
        """End the own session, and try to go on all the same."""
        self._end("end_one", f"/v1/sessions/{self.phone.session}", self.phone.session)

    def end_all(self) -> None:
        """End all sessions."""
        self._end("end_all", "/v1/sessions", self.phone.session)

    def _end(self, what: str, path: str, session: str | None) -> None:
        about = {"session": session, "customer": self.phone.customer}
        self.diary.ask(what, about, lambda: self.phone.send("DELETE", path))
        after = {"session": session}
        self.diary.ask("look", after, lambda: self.phone.get("/v1/me"))
        self.refresh()


class Officers:
    """Two founders and those whom they hired; they propose, approve, and try what is not theirs."""

    def __init__(self, *, port: int, diary: Path, random: Random) -> None:
        self.random = random
        self.diary = Diary(diary, "officers")
        self.http = connection(port, random)
        self.founders: list[Clerk] = []
        self.hired: list[Clerk] = []
        self.pending: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.sessions: dict[str, str] = {}

    def close(self) -> None:
        self.http.close()

    def found(self, invitations: list[str]) -> None:
        """The founders enrol, and hire; before anything breaks."""
        self.founders = [self._arrive(invitation) for invitation in invitations]
        for number in range(3):
            invited = self.founders[number % 2].post("/v1/operators", {"handle": f"h{number}"})
            self.hired.append(self._arrive(invited.json()["invitation"]))

    def _arrive(self, invitation: str) -> Clerk:
        clerk = Clerk(self.http)
        answers = [clerk.enrol(invitation), self._log_in(clerk), clerk.add_passkey()]
        assert [answer.status_code for answer in answers] == [201] * 3, answers
        return clerk

    def _log_in(self, who: Clerk) -> httpx.Response:
        who.token = ""
        answer = who.log_in()
        if answer.status_code == 201:
            self.sessions[who.id] = answer.json()["id"]
        return answer

    def work(self, deeds: int, pace: Pace = at_once) -> None:
        """Propose and decide."""
        ways: list[Callable[[], Any]] = [
            self.propose,
            self.approve,
            self.approve_twice,
            self.approve_own,
            self.approve_as_hired,
            self.approve_again,
            self.end_another_way,
            self.leave,
        ]
        for number in range(deeds):
            pace(number / deeds)
            way = self.random.choices(ways, (8, 6, 4, 1, 1, 2, 2, 1))[0]
            (way if self.pending else self.propose)()

    def ask(self, who: Clerk, what: str, path: str, body: Any, **about: Any) -> Deed:
        """Ask as somebody, who logs in again if need be."""
        about |= {"by": who.id}
        deed, _ = self.diary.ask(what, about, lambda: who.post(path, body))
        if deed.code in {"token_unknown", "operator_session_over"}:
            with contextlib.suppress(httpx.HTTPError, KeyError):
                self._log_in(who)
        return deed

    def propose(self) -> None:
        """A role is given to somebody, or taken."""
        number = self.random.randrange(2)
        kind = self.random.choice(("grant_role", "grant_role", "drop_role"))
        change = {
            "operator_id": self.random.choice([*self.hired, *self.founders]).id,
            "role": self.random.choice(ROLES),
        }
        body = {"kind": kind, "change": change, "reason": "CASE-1"}
        deed = self.ask(self.founders[number], "propose", "/v1/approvals", body)
        if deed.status == 201:
            self.pending.append((deed.told["id"], number))

    def _sign(self, who: Clerk, approval: str) -> Any:
        """What a passkey says to an approval; None if the bank does not ask for it."""
        with contextlib.suppress(httpx.HTTPError, ValueError):
            asked = who.get(f"/v1/approvals/{approval}/signing-options")
            if asked.status_code == 200:
                return {"credential": who.devices[0].get(asked.json()["get"])}
            if asked.status_code == 401:
                self._log_in(who)
        return None

    def _decide(self, who: Clerk, approval: str, body: Any) -> Deed:
        path = f"/v1/approvals/{approval}/approval"
        return self.ask(who, "approve", path, body, approval=approval)

    def approve(self) -> None:
        """The other founder approves; when no answer comes, with the same signature again."""
        approval, proposer = self.random.choice(self.pending)
        who = self.founders[1 - proposer]
        body = self._sign(who, approval)
        if body is not None:
            self._over(approval, insist(lambda: self._decide(who, approval, body)))

    def _over(self, approval: str, deed: Deed) -> None:
        if deed.status == 200 or deed.code in {"approval_ended", "approval_stale", "role_held"}:
            self.pending = [one for one in self.pending if one[0] != approval]
            self.ended.append(approval)
        elif deed.status != 401:
            self.pending = [one for one in self.pending if one[0] != approval]

    def approve_twice(self) -> None:
        """One signature is sent twice at the same moment."""
        approval, proposer = self.random.choice(self.pending)
        who = self.founders[1 - proposer]
        body = self._sign(who, approval)
        if body is not None:
            both(*[lambda: self._decide(who, approval, body)] * 2)
            self.ended.append(approval)
            self.pending = [one for one in self.pending if one[0] != approval]

    def approve_own(self) -> None:
        """The proposer approves."""
        approval, proposer = self.random.choice(self.pending)
        body = self._sign(self.founders[proposer], approval)
        if body is not None:
            self._decide(self.founders[proposer], approval, body)

    def approve_as_hired(self) -> None:
        """Somebody who came today approves."""
        approval, _ = self.random.choice(self.pending)
        who = self.random.choice(self.hired)
        body = self._sign(who, approval)
        if body is not None:
            self._decide(who, approval, body)

    def approve_again(self) -> None:
        """What has ended is approved once more."""
        if self.ended:
            approval, who = self.random.choice(self.ended), self.random.choice(self.founders)
            body = self._sign(who, approval)
            if body is not None:
                self._decide(who, approval, body)

    def end_another_way(self) -> None:
        """A proposal is withdrawn, or rejected, by either founder."""
        approval, _ = self.random.choice(self.pending)
        way = self.random.choice(("withdrawal", "rejection"))
        body = {"reason": "CASE-2"} if way == "rejection" else None
        who = self.random.choice(self.founders)
        deed = self.ask(who, way, f"/v1/approvals/{approval}/{way}", body, approval=approval)
        if deed.status == 200:
            self._over(approval, deed)

    def leave(self) -> None:
        """Somebody logs out, and their token is tried once more."""
        who = self.random.choice(self.founders)
        about = {"by": who.id, "token": digest_of(who.token)}
        path = f"/v1/operator-sessions/{self.sessions.get(who.id)}"
        self.diary.ask("leave", about, lambda: who.ask("DELETE", path))
        self.diary.ask("use", about, lambda: who.get("/v1/operators"))
        with contextlib.suppress(httpx.HTTPError, KeyError):
            self._log_in(who)


@dataclass
class Registrar:
    """A clerk who keeps personal data, and has it erased."""

    http: httpx.Client
    diary: Diary
    random: Random
    customers: list[str]

    def work(self, deeds: int, pace: Pace = at_once) -> None:
        """Keep, read, look up and erase, also of those who were erased."""
        for number in range(deeds):
            pace(number / deeds)
            customer = self.random.choice(self.customers)
            ways = (self.put, self.read, self.find, self.erase)
            self.random.choices(ways, (5, 5, 4, 1))[0](customer)

    def every(self) -> None:
        """At the end: whatever is known of everybody."""
        for customer in self.customers:
            insist(lambda customer=customer: self.read(customer))
            insist(lambda customer=customer: self.find(customer))

    def put(self, customer: str) -> Deed:
        body = {"given_name": f"Name {customer}", "email": f"{customer}@example.com"}
        path = f"/v1/customers/{customer}/person"
        return self._ask("put", customer, lambda: self.http.put(path, json=body))

    def read(self, customer: str) -> Deed:
        body = {"fields": ["given_name"], "purpose": "statement", "reason": "case:1"}
        path = f"/v1/customers/{customer}/person/read"
        return self._ask("read", customer, lambda: self.http.post(path, json=body))

    def find(self, customer: str) -> Deed:
        named = {"field": "email", "value": f"{customer}@example.com"}
        body = named | {"purpose": "statement", "reason": "case:1"}
        return self._ask("find", customer, lambda: self.http.post("/v1/persons/search", json=body))

    def erase(self, customer: str) -> Deed:
        path = f"/v1/customers/{customer}/person"
        query = {"reason": "case:1"}
        return insist(
            lambda: self._ask("erase", customer, lambda: self.http.delete(path, params=query))
        )

    def _ask(self, what: str, customer: str, send: Callable[[], httpx.Response]) -> Deed:
        return self.diary.ask(what, {"customer": customer}, send)[0]
