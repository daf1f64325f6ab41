"""Standard Webhooks: what proves a sender, and everything that does not."""

import asyncio
import hmac
from base64 import b64decode, b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scudo import vault
from scudo.governance.callbacks.errors import CallbackForged, CallbackStale, CallbackUnsigned
from scudo.governance.callbacks.keeping import CallbackKey
from scudo.governance.callbacks.sharing import HeldSecrets, demand_sender
from scudo.governance.callbacks.signing import Algorithm, read_signed

NOW = 1_731_705_121
BODY = b'{"event_type":"ping","data":{"success":true}}'
SECRET = b64decode("plJ3nmyCDGBKInavdOK15jsl")
ID = "msg_loFOjxBNrRLzqYUf"
#: The example that the standard prints for this secret, id, time and body.
SIGNATURE = "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
SHARED = CallbackKey(1, Algorithm.HMAC, b"", 0, None)
OTHER = CallbackKey(2, Algorithm.HMAC, b"", 0, None)
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = CallbackKey(3, Algorithm.ED25519, PRIVATE.public_key().public_bytes_raw(), 0, None)


class Agreed(HeldSecrets):
    """Knows the secret of the standard's example instead of one that is derived."""

    async def matches(self, callback: str, keys: Any, data: bytes, macs: Any) -> bool:
        """Whether it was signed with the example's secret, or with the other key's."""
        known = {SHARED.number: SECRET, OTHER.number: bytes(32)}
        return vault.has_mac([known[key] for key in keys], data, macs)


def headers(**changed: str | bytes) -> dict[bytes, bytes]:
    """The standard's example, with some headers changed; an empty one is left out."""
    given = {"id": ID, "timestamp": str(NOW), "signature": SIGNATURE} | changed
    return {
        f"webhook-{name}".encode(): value.encode() if isinstance(value, str) else value
        for name, value in given.items()
        if value
    }


def checked(
    given: dict[bytes, bytes], *keys: CallbackKey, body: bytes = BODY, now: int = NOW
) -> str:
    """Verify within the window of five minutes."""
    signed = read_signed(given, body, now_s=now, window_s=300)
    asyncio.run(demand_sender(signed, "example", keys or (SHARED,), Agreed(bytes(32))))
    return signed.message


def ed25519(body: bytes = BODY) -> str:
    """Sign as a sender with a key pair does."""
    signature = PRIVATE.sign(f"{ID}.{NOW}.".encode() + body)
    return "v1a," + b64encode(signature).decode()


class TestVerify:
    """The sender is proven by one right signature over the bytes, just now."""

    def test_takes_the_example_of_the_standard(self) -> None:
        """Secret, id, time, body and signature as the standard prints them."""
        assert checked(headers()) == ID

    def test_takes_a_signature_by_a_key_pair(self) -> None:
        """An Ed25519 signature, with the sender's public key."""
        assert checked(headers(signature=ed25519()), PUBLIC) == ID

    @pytest.mark.parametrize(
        "signature",
        [
            f"v1,{'A' * 43}= {SIGNATURE}",
            f"{SIGNATURE} v1,{'A' * 43}=",
            f"v9,whatever {SIGNATURE}",
            f"  {SIGNATURE}  ",
        ],
    )
    def test_takes_one_right_signature_among_several(self, signature: str) -> None:
        """A sender that changes its key signs with both."""
        assert checked(headers(signature=signature)) == ID

    def test_takes_a_signature_of_either_key_while_they_overlap(self) -> None:
        """The bank knows two keys; the sender may use either."""
        assert checked(headers(), OTHER, SHARED) == ID
        with pytest.raises(CallbackForged):
            checked(headers(), OTHER)

    @pytest.mark.parametrize("seconds", [-300, 0, 300])
    def test_takes_what_lies_within_the_window(self, seconds: int) -> None:
        """Both edges count."""
        assert checked(headers(), now=NOW + seconds) == ID

    @pytest.mark.parametrize("seconds", [-301, 301, -(10**9), 10**11])
    def test_refuses_what_was_signed_at_another_time(self, seconds: int) -> None:
        """Too long ago, or in the future, near and far."""
        with pytest.raises(CallbackStale):
            checked(headers(), now=NOW + seconds)

    @pytest.mark.parametrize(
        "timestamp",
        [
            *("", "soon", "1e9", "-1731705121", "+1731705121", " 1731705121", "1731705121.0"),
            *("NaN", "١٧٣١٧٠٥١٢١", "9" * 13, "9" * 5_000),
        ],
    )
    def test_refuses_a_time_that_is_no_number_of_seconds(self, timestamp: str) -> None:
        """Nothing that a lenient reader would take for one, and no number without end."""
        with pytest.raises(CallbackUnsigned):
            checked(headers(timestamp=timestamp))

    @pytest.mark.parametrize("message", ["", "a b", "ï", "x" * 129, "a\tb", "\x7f"])
    def test_refuses_an_id_that_is_not_visible_ascii(self, message: str) -> None:
        """An id becomes a key of the log."""
        with pytest.raises(CallbackUnsigned):
            checked(headers(id=message))

    @pytest.mark.parametrize("signature", ["", " ", "   "])
    def test_refuses_an_empty_list_of_signatures(self, signature: str) -> None:
        """None is not all of them."""
        with pytest.raises(CallbackUnsigned):
            checked(headers(signature=signature))

    @pytest.mark.parametrize(
        "signature",
        [
            SIGNATURE.replace("v1,", ""),
            SIGNATURE.replace("v1,", "v1a,"),
            SIGNATURE.replace("v1,", "V1,"),
            SIGNATURE[:-1],
            SIGNATURE + "=",
            SIGNATURE.replace("r", "s", 1),
            "v1,",
            "v1a,",
            ",",
            "v1,é",
            "v1,\udcff".encode("utf-8", "surrogateescape"),
            b"\xff\xfe,\x80",
            " ".join(["v1,AAAA"] * 8 + [SIGNATURE]),
        ],
    )
    def test_refuses_every_other_signature(self, signature: str | bytes) -> None:
        """Cut, altered, of another version, not Base64, not ASCII, or beyond the eighth."""
        with pytest.raises(CallbackForged):
            checked(headers(signature=signature), SHARED, PUBLIC)

    @pytest.mark.parametrize(
        "body", [BODY + b" ", BODY.replace(b":", b": "), b"", BODY.replace(b"true", b"false")]
    )
    def test_refuses_another_body(self, body: bytes) -> None:
        """Written anew it means the same, and is not what was signed."""
        with pytest.raises(CallbackForged):
            checked(headers(), body=body)
        with pytest.raises(CallbackForged):
            checked(headers(signature=ed25519()), PUBLIC, body=body)

    def test_refuses_a_signature_of_one_kind_made_with_a_key_of_the_other(self) -> None:
        """A public key is known to everybody, and is no shared secret."""
        digest = hmac.digest(PUBLIC.public, f"{ID}.{NOW}.".encode() + BODY, "sha256")
        encoded = b64encode(digest).decode()

        for version in ("v1", "v1a"):
            with pytest.raises(CallbackForged):
                checked(headers(signature=f"{version},{encoded}"), PUBLIC)

    def test_refuses_everything_without_a_key(self) -> None:
        """A callback whose keys were all revoked takes nothing."""
        signed = read_signed(headers(), BODY, now_s=NOW, window_s=300)

        with pytest.raises(CallbackForged):
            asyncio.run(demand_sender(signed, "example", (), Agreed(bytes(32))))
