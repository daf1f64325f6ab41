"""Canonical commands as HTTP requests, and a client that writes down what it is told."""

import contextlib
import http.client
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import msgspec
from tests.history.record import Try
from tests.model.bank import CURRENCIES, show
from tests.model.layout import instant

Request = tuple[str, str, Any]
CHANNELS: Final = {1: "app", 4: "card_present", 5: "card_not_present"}
KINDS: Final = {1: "post", 2: "hold", 3: "raise", 4: "capture", 5: "release"}
MANDATES: Final = ("", "opening", "funding", "fees", "interest", "settlement", "adjustment")
PRODUCTS: Final = {1: "funding", 100: "current"}
_TIMEOUT_S: Final = 40


def request(what: list[Any]) -> Request:
    """Method, path and body that ask for a canonical command or a read."""
    if isinstance(what[0], str):
        return "GET", _READS[what[0]].format(*what[1:]), None
    return _WRITES[what[0]](*what[1:])


def _text(name: str, number: int | None) -> str | None:
    return None if number is None else f"{name}-{number}"


def _register(reference: str, kind: int, country: int | None) -> Request:
    return "POST", "/v1/customers", {"reference": reference, "kind": "person", "country": country}


def _open(owner: int, currency: int, *rest: int) -> Request:
    _, _, hold_limit, posting_limit = rest
    body = {"customer_id": show("cus", owner), "currency": CURRENCIES[currency]}
    limits = {"hold_limit_minor": hold_limit, "posting_limit_minor": posting_limit}
    return "POST", "/v1/accounts", body | limits


def _journal(mandate: int, movements: list[list[Any]], reference: str) -> Request:
    named = MANDATES[mandate] if mandate < len(MANDATES) else show("mnd", mandate)
    body = {"mandate": named, "reference": reference}
    return "POST", "/v1/journals", body | {"movements": [_movement(*m) for m in movements]}


def _movement(*m: Any) -> dict[str, Any]:
    kind, amount, currency, debit, credit, hold, final, expires_at, tolerance, code = m
    body = {"kind": KINDS[kind], "amount_minor": amount, "is_final": final, "code": code}
    if currency:
        body["currency"] = CURRENCIES[currency]
    for name, number in (("debit_account_id", debit), ("credit_account_id", credit)):
        if number:
            body[name] = show("acc", number)
    if hold:
        body |= {"hold_of": -hold - 1} if hold < 0 else {"hold_id": show("hld", hold)}
    if expires_at:
        body |= {"expires_at": instant(expires_at), "tolerance_bps": tolerance}
    return body


def _authorise(*asked: Any) -> Request:
    account, amount, currency, card, merchant, credit, device, ip, mcc, country = asked[:10]
    latitude, longitude, channel, capture, expires_in_s, _ = asked[10:]
    body = {
        "account_id": show("acc", account),
        "amount_minor": amount,
        "currency": CURRENCIES[currency],
        "card": _text("card", card),
        "merchant": _text("merchant", merchant),
        "device": _text("device", device),
        "ip": _text("ip", ip),
        "mcc": mcc,
        "country": country,
        "latitude_e4": latitude,
        "longitude_e4": longitude,
        "channel": CHANNELS[channel],
        "capture": capture,
        "expires_in_s": expires_in_s,
    }
    if credit:
        body["merchant_account_id"] = show("acc", credit)
    return "POST", "/v1/card-authorisations", body


def _pay(debit: int, credit: int, amount: int, currency: int, device: Any, *rest: Any) -> Request:
    body = {
        "debit_account_id": show("acc", debit),
        "credit_account_id": show("acc", credit),
        "amount_minor": amount,
        "currency": CURRENCIES[currency],
        "device": _text("device", device),
        "channel": CHANNELS[rest[-2]],
    }
    return "POST", "/v1/payments", body


def _on(resource: str, number: int, act: str, body: Any = None) -> Request:
    return "POST", f"/v1/{resource}/{show('pay', number)}/{act}", body


def _approve_mandate(mandate: int, terms: dict[str, Any]) -> Request:
    body = {"name": terms["name"], "owner": terms["owner"]}
    if mandate:
        body["mandate"] = show("mnd", mandate)
    for side in ("debit_products", "credit_products"):
        if side in terms:
            body[side] = [PRODUCTS[product] for product in terms[side]]
    if "accounts" in terms:
        body["account_ids"] = [show("acc", number) for number in terms["accounts"]]
    if "currency" in terms:
        body["currency"] = CURRENCIES[terms["currency"]]
    for bound in ("amount_max", "day_max"):
        if bound in terms:
            body[f"{bound}_minor"] = terms[bound]
    if "valid_to" in terms:
        body["valid_to"] = instant(terms["valid_to"])
    return "POST", "/v1/mandates", body


_CARDS: Final = "card-authorisations"
_WRITES: Final[dict[int, Any]] = {
    101: _register,
    201: _open,
    202: lambda number: ("POST", f"/v1/accounts/{show('acc', number)}/closure", None),
    203: _journal,
    401: _authorise,
    402: _pay,
    403: lambda p, amount, final: _on(
        _CARDS, p, "captures", {"amount_minor": amount, "is_final": final}
    ),
    404: lambda p, amount: _on(_CARDS, p, "reversals", {"amount_minor": amount} if amount else {}),
    405: lambda p, amount: _on(_CARDS, p, "increments", {"amount_minor": amount}),
    406: lambda p, reason: _on("payments", p, "release", {"reason_code": reason}),
    407: lambda p: _on("payments", p, "cancellation"),
    502: _approve_mandate,
    408: lambda p, passed: _on("payments", p, "challenge", {"has_passed": passed}),
}
_READS: Final = {
    "balance": "/v1/accounts/acc_{0:016x}/balance",
    "payment": "/v1/payments/pay_{0:016x}",
    "transactions": "/v1/accounts/acc_{0:016x}/transactions?limit=20",
    "events": "/v1/events?after={0}&limit={1}",
    "answer": "/v1/answers?idempotency_key={0}",
}


class _Result(msgspec.Struct):
    status: int
    body: msgspec.Raw


class _Results(msgspec.Struct):
    results: list[_Result]


@dataclass
class Caller:
    """One connection of one client, kept as long as it lives."""

    client: int
    token: str
    port: int
    connection: http.client.HTTPConnection | None = field(default=None)

    def call(self, what: list[Any], key: str = "") -> Try:
        """Ask once; what happens is written down, whatever it is."""
        return self._exchange(request(what), what, key)

    def bulk(self, journals: list[list[Any]], keys: list[str]) -> list[Try]:
        """Ask for journals in one request, each with its own key."""
        items = [
            {"idempotency_key": key, "journal": request(journal)[2]}
            for journal, key in zip(journals, keys, strict=True)
        ]
        whole = self._exchange(
            ("POST", "/v1/journals/bulk", {"items": items}), ["bulk"], f"{keys[0]}-bulk"
        )
        if whole.status != 200:
            parts = [(whole.status, whole.body)] * len(keys)
        else:
            results = msgspec.json.decode(whole.body, type=_Results).results
            parts = [(result.status, bytes(result.body)) for result in results]
        return [
            Try(self.client, journal, key, whole.began, whole.ended, status, body)
            for journal, key, (status, body) in zip(journals, keys, parts, strict=True)
        ]

    def _exchange(self, asked: Request, what: list[Any], key: str) -> Try:
        method, path, body = asked
        headers = {"authorization": f"Bearer {self.token}"}
        if key and method == "POST":
            headers["idempotency-key"] = key
        data = None if body is None else msgspec.json.encode(body)
        if data is not None:
            headers["content-type"] = "application/json"
        began = time.monotonic_ns()
        try:
            connection = self.connection or http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=_TIMEOUT_S
            )
            self.connection = connection
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            status, text = 0, b""
            self.close()
        return Try(self.client, what, key, began, time.monotonic_ns(), status, text)

    def close(self) -> None:
        if self.connection is not None:
            with contextlib.suppress(OSError):
                self.connection.close()
            self.connection = None

    def insist(self, what: list[Any], key: str, random: Random, *, tries: int = 400) -> list[Try]:
        """Ask until there is an answer that stands, with the same key."""
        done = []
        for _ in range(tries):
            done.append(self.call(what, key))
            if done[-1].status and done[-1].status < 500:
                break
            time.sleep(0.02 + random.random() * 0.1)
        return done
