"""Customers of a bank as it is shipped: vault beside it, its own gates, mails in a folder."""

import re

import httpx
from tests.customers import new_address
from tests.journeys.conftest import until
from tests.totp import totp_code

from scudo import vault
from scudo.simulation import Phone

PASSWORD = "correct horse 4711"
WHY = vault.Why("notification", "tests", "tests")


def mails(bank, address, subject):
    """Texts of the mails to an address, whose subject holds a text."""
    texts = [path.read_text() for path in (bank.settings.home / "mail").glob("*.eml")]
    return [text for text in texts if f"To: {address}" in text and subject in text]


def test_what_is_personal_or_secret_is_in_the_vault(vaulted):
    """Address and seed are the vault's, reads of the address are acts, and the gates decide."""
    address = new_address()
    with httpx.Client(base_url=vaulted.url, timeout=20) as http:
        device = Phone(http)
        code_id = device.post("/v1/sign-ups", {"email": address}).json()["code_id"]
        (text,) = until(lambda: mails(vaulted, address, "is your code"))
        opened = device.activate(address, code_id, re.search(r"\b\d{8}\b", text).group())
        assert opened.status_code == 201, opened.text
        assert device.send("PUT", "/v1/password", {"password": PASSWORD}).status_code == 204
        seed = device.post("/v1/totp").json()
        body = {"challenge_id": seed["challenge_id"], "code": totp_code(seed["seed"], step=-1)}
        assert device.post("/v1/totp/activation", body).status_code == 201
        device.lose_tokens()
        body = {"email": address, "password": PASSWORD, "code": totp_code(seed["seed"], step=1)}
        entered = device.post("/v1/log-ins/password", body)
        unknown = device.post("/v1/log-ins/password", body | {"email": new_address()})

    assert (entered.status_code, entered.json()["assurance"]) == (201, "password")
    assert (unknown.status_code, unknown.json()["code"]) == (401, "log_in_refused")
    customer = int(device.customer.removeprefix("cus_"), 16)
    with vaulted.asked() as client:
        kept = client.ask(vault.ReadFields(customer, ("email",), WHY)).values
    assert kept == {"email": address}
    assert until(lambda: mails(vaulted, address, "credentials"))
    reads = [
        act
        for act in vaulted.events("governance.act.recorded.v1")
        if (act["act"], act["whose"]) == ("persons.read_fields", device.customer)
    ]
    assert reads
    passages = vaulted.events("decisions.passage.decided.v1")
    assert {passage["gate"] for passage in passages} >= {11, 12}
