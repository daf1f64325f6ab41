"""Operators of a served bank: real people's ways over HTTP, with software for their devices."""

from dataclasses import dataclass, field
from random import randrange
from typing import Any

import httpx

from scudo.identity import operators
from scudo.simulation import Authenticator


@dataclass
class Clerk:
    """Somebody who runs the bank, from their own browser."""

    http: httpx.Client
    devices: list[Authenticator] = field(default_factory=list)
    id: str = ""
    token: str = ""

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return self.http.request(method, path, json=body, params=query, headers=headers)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.ask("GET", path, **query)

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return self.ask("POST", path, body)

    def enrol(self, invitation: str) -> httpx.Response:
        """A first passkey, by an invitation."""
        asked = {"invitation": invitation}
        options = self.post("/v1/operator-enrolments/options", asked).json()
        device = Authenticator()
        body = {**asked, "credential": device.create(options["create"])}
        answer = self.post("/v1/operator-enrolments", body)
        if answer.status_code == 201:
            self.devices.append(device)
            self.id = answer.json()["operator_id"]
        return answer

    def add_passkey(self) -> httpx.Response:
        """A further passkey, confirmed by the first."""
        options = self.post("/v1/operator-passkeys/options").json()
        device = Authenticator()
        body = {
            "credential": device.create(options["create"]),
            "proof": self.devices[0].get(options["get"]),
        }
        answer = self.post("/v1/operator-passkeys", body)
        if answer.status_code == 201:
            self.devices.append(device)
        return answer

    def log_in(self, device: int = 0) -> httpx.Response:
        options = self.post("/v1/operator-sessions/options").json()
        credential = self.devices[device].get(options["get"])
        answer = self.post("/v1/operator-sessions", {"credential": credential})
        if answer.status_code == 201:
            self.token = answer.json()["token"]
        return answer

    def propose(self, kind: str, **change: Any) -> httpx.Response:
        body = {"kind": kind, "change": change, "reason": "CASE-1"}
        return self.post("/v1/approvals", body)

    def approve(self, approval: str) -> httpx.Response:
        options = self.get(f"/v1/approvals/{approval}/signing-options")
        if options.status_code != 200:
            return options
        credential = self.devices[0].get(options.json()["get"])
        return self.post(f"/v1/approvals/{approval}/approval", {"credential": credential})


def browser(url: str) -> httpx.Client:
    """A browser on a network of its own: log-ins that fail elsewhere do not keep it waiting."""
    address = f"127.{randrange(1, 250)}.{randrange(1, 250)}.{randrange(2, 250)}"
    transport = httpx.HTTPTransport(local_address=address)
    return httpx.Client(base_url=url, timeout=20, transport=transport)


class Bureau:
    """The operators of a served bank, behind its own gate of privileged acts."""

    def __init__(self, served: Any) -> None:
        self.served = served
        self.http = browser(served.url)

    def founders(self) -> tuple[Clerk, Clerk]:
        """The two that the bank begins with, as `scudo operator enroll-first` invites them."""
        made = [operators.new_token("scudo_inv_") for _ in range(2)]
        command = operators.EnrolFirst(("anna", "bela"), (made[0][1], made[1][1]))
        answer = self.served.run(self.served.bank.submit(command))
        assert answer.status == 201, answer
        return self.arrive(made[0][0]), self.arrive(made[1][0])

    def arrive(self, invitation: str) -> Clerk:
        """Somebody comes with an invitation, enrols two passkeys and logs in."""
        clerk = Clerk(self.http)
        assert clerk.enrol(invitation).status_code == 201
        assert clerk.log_in().status_code == 201
        assert clerk.add_passkey().status_code == 201
        return clerk

    def hire(self, by: Clerk, handle: str) -> Clerk:
        invited = by.post("/v1/operators", {"handle": handle})
        assert invited.status_code == 201, invited.text
        return self.arrive(invited.json()["invitation"])

    def grant(self, proposer: Clerk, approver: Clerk, clerk: Clerk, role: str) -> None:
        proposed = proposer.propose("grant_role", operator_id=clerk.id, role=role)
        assert proposed.status_code == 201, proposed.text
        approved = approver.approve(proposed.json()["id"])
        assert approved.status_code == 200, approved.text
