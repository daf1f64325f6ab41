"""The inventory: every way in for others' systems, declared; what is not listed is not mounted.

`docs/callbacks.md` is written from it (`python tools/write_callbacks.py`).
"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from scudo.fabric import web
from scudo.governance.callbacks.signing import Algorithm

#: Five minutes to both sides, as Standard Webhooks has it; each attempt is signed anew.
WINDOW_S: Final = 300
_PREFIX: Final = "/v1/inbound/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One way in.

    Attributes:
        number: of its records, for ever.
        name: `lower_case_with_underscores`, for ever.
        summary: one sentence without full stop.
        sender: who calls.
        owner: which team answers for it.
        algorithms: how it may be signed.
        window_s: how far from our time it may have been signed.
        body: a struct that forbids unknown members.
        example: a body.
        expects: in words, what our own state must say before anything moves.
        effect: in words, what it changes.
    """

    number: int
    name: str
    summary: str
    sender: str
    owner: str
    algorithms: frozenset[Algorithm]
    window_s: int
    body: type[msgspec.Struct]
    example: msgspec.Struct
    expects: str
    effect: str

    @property
    def path(self) -> str:
        """Where it is mounted."""
        return _PREFIX + self.name.replace("_", "-")


class PingData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a ping says: a number that the sender counts up."""

    sequence: Annotated[int, msgspec.Meta(ge=1, le=(1 << 53) - 1)]


class Ping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="ping"):
    """A partner says that it is there, and that its keys work."""

    timestamp: Annotated[str, msgspec.Meta(min_length=20, max_length=40)]
    data: PingData


PARTNER_PING: Final = Callback(
    number=1,
    name="partner_ping",
    summary="Take a partner's sign of life",
    sender="a partner's system",
    owner="partner integration",
    algorithms=frozenset(Algorithm),
    window_s=WINDOW_S,
    body=Ping,
    example=Ping(timestamp="2026-01-15T09:30:00Z", data=PingData(sequence=7)),
    expects="a sequence above that of the last ping that was taken",
    effect="the ping is an event of the log; nothing else changes",
)

#: Everything that others' systems may call.
INVENTORY: Final = (PARTNER_PING,)


def document() -> str:
    """Write the inventory as a page."""
    lines = [
        "# Callbacks",
        "",
        "Every way in for others' systems. Written by `python tools/write_callbacks.py` from",
        "`src/scudo/governance/callbacks/inventory.py`; a test compares.",
        "",
        "All are signed by Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp` and",
        "`webhook-signature` over `id.timestamp.body`, the body byte for byte as it is sent. One",
        "header may carry several signatures, so that a key is changed without a gap: a new key is",
        "good at once, older ones for as long as the change says, a revoked one no more. A message",
        "counts once by its id, for ever; sent again it is answered as it was. Every refusal has a",
        "code, is counted (`scudo_callback_refusals`) and, sixty times a minute at the most,",
        "recorded as an act.",
        "",
    ]
    for callback in INVENTORY:
        versions = {Algorithm.HMAC: "HMAC-SHA256 (`v1`)", Algorithm.ED25519: "Ed25519 (`v1a`)"}
        signed = ", ".join(versions[version] for version in sorted(callback.algorithms))
        example = msgspec.json.format(msgspec.json.encode(callback.example)).decode()
        lines += [
            f"## {callback.name}",
            "",
            f"{callback.summary}.",
            "",
            "| | |",
            "|---|---|",
            f"| address | `POST {callback.path}` |",
            f"| sender | {callback.sender} |",
            f"| owner | {callback.owner} |",
            f"| signed by | {signed} |",
            f"| signed within | {callback.window_s} s of the bank's time |",
            f"| body | at most {web.BODY_BYTES_MAX // 1024} KiB of JSON |",
            f"| expected | {callback.expects} |",
            f"| effect | {callback.effect} |",
            "",
            "```json",
            example,
            "```",
            "",
        ]
    return "\n".join(lines)
