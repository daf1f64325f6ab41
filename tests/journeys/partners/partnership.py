"""A registered partner, and what its program does."""

from dataclasses import dataclass
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.rooms.identity.signing import Signer, claims_for, token_form

from scudo.identity.partners.keys import thumbprint

SCOPES = ["payments:write", "payments:read", "accounts:read"]


@dataclass
class Partnership:
    """A registered partner with a key and a certificate of its own."""

    secure: Any
    id: str
    signer: Signer
    leaf: Any

    @property
    def now_s(self) -> int:
        return self.secure.clock() // 1_000_000

    def claims(self, **changed: Any) -> dict[str, Any]:
        return claims_for(self.id, self.secure.issuer, now_s=self.now_s, **changed)

    def ask(self, http: httpx.Client, assertion: str | None = None, **more: str) -> httpx.Response:
        """Ask for a token by an assertion; a good one unless another is given."""
        if assertion is None:
            assertion = self.signer.assertion(**self.claims())
        return http.post("/v1/oauth/token", data=token_form(assertion, **more))

    def ask_by_certificate(self, http: httpx.Client, **more: str) -> httpx.Response:
        form = {"grant_type": "client_credentials", "client_id": self.id, **more}
        return http.post("/v1/oauth/token", data=form)

    def change(self, what: str, body: Any = None) -> None:
        answer = self.secure.admin.post(f"/v1/partners/{self.id}/{what}", json=body)
        assert answer.status_code in {200, 201}, answer.text

    def limits(self, **changed: Any) -> None:
        limits = {"scopes": SCOPES, "tier": "high", "networks": [], "must_sign": False}
        answer = self.secure.admin.put(f"/v1/partners/{self.id}/limits", json=limits | changed)
        assert answer.status_code == 200, answer.text

    def refusals(self, act: str) -> list[str]:
        """Results of the acts that the audit trail has of this partner, or of who claimed it."""
        number = int(self.id.removeprefix("ptn_"), 16)
        return [
            event["data"]["result"]
            for event in self.secure.events("governance.act.recorded.v1")
            if event["data"]["act"] == act
            and (event["data"]["object"] == self.id or event["data"]["actor"] == number)
        ]


def thumbprint_of(leaf: Any) -> str:
    der = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    return thumbprint(der.public_bytes(Encoding.DER))


def bearer(token: httpx.Response) -> dict[str, str]:
    return {"authorization": f"Bearer {token.json()['access_token']}"}


def order(accounts: Any, amount: int = 100) -> dict[str, Any]:
    _, payer, payee = accounts
    return {
        "debit_account_id": payer,
        "credit_account_id": payee,
        "amount_minor": amount,
        "currency": "EUR",
    }


def read(http: httpx.Client, token: httpx.Response, accounts: Any) -> httpx.Response:
    return http.get(f"/v1/accounts/{accounts[1]}/balance", headers=bearer(token))


async def forget(secure: Any) -> None:
    """Drop what memory holds, and read it again, as after a lost database."""
    async with await secure.bank.connect() as connection:
        await secure.bank.rooms.reload(connection)
