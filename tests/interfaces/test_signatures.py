"""HTTP message signatures: RFC 9421's own examples, and no change that is covered gets through."""

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rooms.identity.signing import Signer, signed_headers

from scudo.fabric import web
from scudo.identity.partners.keys import is_signed, read_public
from scudo.identity.partners.model import SigningKey
from scudo.interfaces.http import structured
from scudo.interfaces.http.signatures import (
    Message,
    Nonces,
    SignatureCheck,
    SignatureInvalid,
    demand_digest,
    message_of,
    signature_base,
)

NOW_S = 1_618_884_473
PARTNER = web.Principal(7, frozenset(), kind=web.PrincipalKind.PARTNER)
SIGNER = Signer()
BODY = b'{"amount_minor":100}'
#: RFC 9421, B.1.3 and B.1.4: the keys of the examples.
P256 = {
    "kty": "EC",
    "crv": "P-256",
    "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA",
    "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0",
}
ED25519 = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs",
    "y": None,
}
#: RFC 9421, B.2: the request, and its response.
REQUEST_BODY = b'{"hello": "world"}'
REQUEST_DIGEST = (
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+"
    "AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
)
SCOPE = {
    "method": "POST",
    "scheme": "https",
    "path": "/foo",
    "raw_path": b"/foo",
    "query_string": b"param=Value&Pet=dog",
    "headers": [
        (b"host", b"example.com"),
        (b"date", b"Tue, 20 Apr 2021 02:07:55 GMT"),
        (b"content-type", b"application/json"),
        (b"content-digest", REQUEST_DIGEST.encode()),
        (b"content-length", b"18"),
    ],
}
RESPONSE_DIGEST = (
    "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wW"
    "dXymyU0rjJuahq4l5aGgfLQ==:"
)


def key_of(jwk: dict) -> SigningKey:
    algorithm, public = read_public(kty=jwk["kty"], crv=jwk["crv"], x=jwk["x"], y=jwk.get("y"))
    return SigningKey("key-1", algorithm, public, 0, 1 << 62)


def covered(text: str) -> structured.InnerList:
    (found,) = structured.parse_dictionary(text).values()
    assert isinstance(found, structured.InnerList)
    return found


class TestTheExamplesOfTheStandard:
    def test_of_an_ed25519_request_is_good(self):
        """RFC 9421, B.2.6: base and signature are those that are printed."""
        said = (
            'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
            ';created=1618884473;keyid="test-key-ed25519"'
        )
        signature = b64decode(
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
        )

        base = signature_base(message_of(SCOPE), covered(said))

        assert base.decode().splitlines() == [
            '"date": Tue, 20 Apr 2021 02:07:55 GMT',
            '"@method": POST',
            '"@path": /foo',
            '"@authority": example.com',
            '"content-type": application/json',
            '"content-length": 18',
            f'"@signature-params": {said.partition("=")[2]}',
        ]
        assert is_signed(key_of(ED25519), signature, base)
        assert not is_signed(key_of(ED25519), signature, base + b" ")

    def test_of_an_ecdsa_response_is_good(self):
        """RFC 9421, B.2.4: over a response, whose status is a component."""
        said = (
            'sig-b24=("@status" "content-type" "content-digest" "content-length")'
            ';created=1618884473;keyid="test-key-ecc-p256"'
        )
        fields = {
            "content-type": "application/json",
            "content-digest": RESPONSE_DIGEST,
            "content-length": "23",
        }
        signature = b64decode(
            "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw=="
        )

        base = signature_base(Message({"@status": "200"}, fields), covered(said))

        assert is_signed(key_of(P256), signature, base)
        assert not is_signed(key_of(P256), signature[::-1], base)
        assert not is_signed(key_of(P256), signature[:-1], base)

    def test_of_digests_are_those_of_the_bodies(self):
        """The digests of the examples are checked against the bodies of the examples."""
        demand_digest(REQUEST_DIGEST, REQUEST_BODY)
        demand_digest(RESPONSE_DIGEST, b'{"message": "good dog"}\n'[:-1])
        with pytest.raises(SignatureInvalid):
            demand_digest(REQUEST_DIGEST, REQUEST_BODY + b" ")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("@method", "POST"),
            ("@target-uri", "https://example.com/foo?param=Value&Pet=dog"),
            ("@authority", "example.com"),
            ("@scheme", "https"),
            ("@request-target", "/foo?param=Value&Pet=dog"),
            ("@path", "/foo"),
            ("@query", "?param=Value&Pet=dog"),
        ],
    )
    def test_of_components_are_derived(self, name, value):
        """RFC 9421, section 2.2: each derived component of the example request."""
        assert message_of(SCOPE).component(name) == value


def scope_of(headers: dict[str, str], *, path: str = "/v1/payments", query: bytes = b"") -> dict:
    lines = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {
        "method": "POST",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"host", b"bank.example"), *lines],
    }


def checked(signer: Signer = SIGNER) -> SignatureCheck:
    key = key_of(signer.jwk)

    def signed_by(_: web.Principal, kid: str, signature: bytes, message: bytes) -> str | None:
        is_good = kid == signer.kid and is_signed(key, signature, message)
        return key.algorithm if is_good else None

    return SignatureCheck(lambda _: True, signed_by, lambda: NOW_S * 1_000_000, Nonces())


def good_headers(signer: Signer = SIGNER) -> dict[str, str]:
    return signed_headers(
        signer, method="POST", path="/v1/payments", body=BODY, key="order-1", created=NOW_S
    )


def resigned(said: str, *, components: dict[str, str]) -> dict[str, str]:
    """Sign whatever is said, well."""
    base = "".join(f'"{name}": {value}\n' for name, value in components.items())
    base += f'"@signature-params": {said}'
    value = b64encode(SIGNER.sign(base.encode())).decode()
    fields = {name: value for name, value in components.items() if not name.startswith("@")}
    return {**fields, "signature-input": f"sig={said}", "signature": f"sig=:{value}:"}


DIGEST = f"sha-256=:{b64encode(sha256(BODY).digest()).decode()}:"
COMPONENTS = {
    "@method": "POST",
    "@target-uri": "https://bank.example/v1/payments",
    "content-digest": DIGEST,
    "idempotency-key": "order-1",
}
LIST = '("@method" "@target-uri" "content-digest" "idempotency-key")'
SAID = f'{LIST};created={NOW_S};keyid="key-1";nonce="12345678"'


class TestASignedRequest:
    @pytest.mark.parametrize("kind", ["Ed25519", "P-256"])
    def test_is_taken(self, kind):
        """A signature of either kind over all that is needed is good, and once only."""
        signer = Signer(kind=kind)
        check, scope = checked(signer), scope_of(good_headers(signer))

        check.demand(PARTNER, scope, BODY)

        with pytest.raises(web.WebRefusal) as refused:
            check.demand(PARTNER, scope, BODY)
        assert refused.value.code == "signature_replayed"

    def test_may_cover_the_target_as_a_whole(self):
        """@target-uri stands for path and query."""
        scope = scope_of(resigned(SAID, components=COMPONENTS))

        assert checked().demand(PARTNER, scope, BODY) is None
        with pytest.raises(web.WebRefusal):
            checked().demand(PARTNER, scope | {"query_string": b"more=1"}, BODY)

    @pytest.mark.parametrize(
        ("said", "code"),
        [
            (SAID.replace('"@method" ', ""), "signature_missing"),
            (SAID.replace('"@target-uri" ', ""), "signature_missing"),
            (SAID.replace('"content-digest" ', ""), "signature_missing"),
            (SAID.replace(' "idempotency-key"', ""), "signature_missing"),
            (SAID.replace(f";created={NOW_S}", ""), "signature_missing"),
            (SAID.replace(';nonce="12345678"', ""), "signature_missing"),
            (SAID.replace(';keyid="key-1"', ""), "signature_missing"),
            (SAID.replace("12345678", "1234567"), "signature_invalid"),
            (SAID + ';alg="rsa-pss-sha512"', "signature_invalid"),
            (SAID + ';alg="ecdsa-p256-sha256"', "signature_invalid"),
            (SAID + ';alg="hmac-sha256"', "signature_invalid"),
            (SAID + ";alg=ed25519", "signature_invalid"),
            (SAID + f';expires="{NOW_S}"', "signature_invalid"),
            (SAID + ";more", "signature_invalid"),
            (SAID + f";expires={NOW_S - 10}", "signature_stale"),
            (SAID.replace(f"={NOW_S}", f"={NOW_S - 66}"), "signature_stale"),
            (SAID.replace(f"={NOW_S}", f"={NOW_S + 6}"), "signature_stale"),
            (SAID.replace(f"={NOW_S}", '="now"'), "signature_invalid"),
            (SAID.replace('"@method"', '"@method" "@method"'), "signature_invalid"),
            (SAID.replace('"@method"', '"@method";req'), "signature_invalid"),
            (SAID.replace('"@method"', '"@method" "absent"'), "signature_invalid"),
            (SAID.replace('"@method"', '"@method" "@status"'), "signature_invalid"),
            (SAID.replace('"key-1"', '"key-2"'), "signature_invalid"),
        ],
    )
    def test_must_say_all_that_is_needed_and_nothing_else(self, said, code):
        """Each parameter and component that is lacking, or strange, is refused by its code."""
        scope = scope_of(COMPONENTS_SENT | resigned(said, components=COMPONENTS))

        with pytest.raises(web.WebRefusal) as refused:
            checked().demand(PARTNER, scope, BODY)

        assert refused.value.code == code

    @pytest.mark.parametrize("alg", ["ed25519"])
    def test_may_name_its_algorithm_if_it_is_the_keys(self, alg):
        """`alg` is taken when it agrees with the record of the key."""
        said = f'{SAID};alg="{alg}";expires={NOW_S + 30};tag="orders"'

        scope = scope_of(resigned(said, components=COMPONENTS))

        assert checked().demand(PARTNER, scope, BODY) is None

    @pytest.mark.parametrize(
        "change",
        [
            lambda scope: scope | {"method": "PUT"},
            lambda scope: scope | {"raw_path": b"/v1/payments/"},
            lambda scope: scope | {"query_string": b"x=1"},
        ],
        ids=["method", "path", "query"],
    )
    def test_is_bound_to_where_it_was_sent(self, change):
        """The same bytes to another method, path or query are refused."""
        with pytest.raises(web.WebRefusal):
            checked().demand(PARTNER, change(scope_of(good_headers())), BODY)

    @given(data=st.data())
    def test_is_refused_when_any_covered_byte_is_changed(self, data):
        """A byte more, less or other in body, key, digest, signature or what it says."""
        headers, body = good_headers(), BODY
        name = data.draw(st.sampled_from(["body", *sorted(headers)]))
        before = body.decode() if name == "body" else headers[name]
        at = data.draw(st.integers(0, len(before) - 1))
        new = data.draw(st.characters(codec="latin-1", exclude_characters="\n\r\0") | st.just(""))
        after = before[:at] + new + before[at + data.draw(st.integers(0, 1)) :]
        if name == "body":
            body = after.encode("latin-1")
        else:
            headers[name] = after
        if _is_same(name, before, after):
            return

        with pytest.raises(web.WebRefusal) as refused:
            checked().demand(PARTNER, scope_of(headers), body)

        assert refused.value.status == 401

    @given(inputs=st.text(max_size=80), values=st.text(max_size=80), digest=st.text(max_size=80))
    def test_is_refused_whatever_is_sent_in_its_place(self, inputs, values, digest):
        """Rubbish in the three headers is a refusal, never a fault of ours."""
        sent = {
            "signature-input": inputs,
            "signature": values,
            "content-digest": digest,
            "idempotency-key": "k",
        }
        latin = {
            name: text.encode("latin-1", "replace").decode("latin-1") for name, text in sent.items()
        }

        with pytest.raises(web.WebRefusal):
            checked().demand(PARTNER, scope_of(latin), BODY)

    def test_is_only_asked_of_whoever_must_sign(self):
        """Others are not looked at."""
        for must_sign in (False, True):
            check = SignatureCheck(
                lambda _, must=must_sign: must, lambda *_: None, lambda: 0, Nonces()
            )
            if must_sign:
                with pytest.raises(web.WebRefusal):
                    check.demand(PARTNER, scope_of({}), BODY)
            else:
                assert check.demand(PARTNER, scope_of({}), BODY) is None


#: What is sent with every resigned request, so that lacking coverage is what is refused.
COMPONENTS_SENT = {name: value for name, value in COMPONENTS.items() if not name.startswith("@")}


def _is_same(name: str, before: str, after: str) -> bool:
    """Whether a change is none: space around a value, or another way to write the same field."""
    if name == "body":
        return before == after
    if name not in {"signature", "signature-input"}:
        return before == after.strip(" \t")
    try:
        return structured.parse_dictionary(before) == structured.parse_dictionary(after)
    except structured.Malformed:
        return False


class TestNonces:
    def test_are_remembered_as_long_as_they_could_be_used(self):
        """A nonce cannot come back while its signature is good; owners do not meet."""
        nonces = Nonces()

        assert nonces.use(1, "n", now_s=NOW_S)
        assert nonces.use(2, "n", now_s=NOW_S)
        for later_s in (0, 35, 70):
            assert not nonces.use(1, "n", now_s=NOW_S + later_s)

    def test_are_forgotten_when_no_signature_could_use_them(self):
        """What is remembered is bounded by time."""
        nonces = Nonces()
        nonces.use(1, "n", now_s=NOW_S)

        assert nonces.use(1, "n", now_s=NOW_S + 1_000)


class TestStructuredFields:
    @pytest.mark.parametrize(
        "text",
        [
            'sig=("a" "b";x=1);created=5;on;off=?0;bytes=:aGk=:;word=tok/en:1',
            'sig=();say="a \\"quoted\\" \\\\ word"',
            'sig=("a");n=-999999999999999',
        ],
    )
    def test_are_written_as_they_were_read(self, text):
        """A canonical field comes back the same."""
        (member,) = structured.parse_dictionary(text).values()

        assert f"sig={structured.write_inner_list(member)}" == text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "a=1,",
            "a=1 b=2",
            "A=1",
            "a=(",
            'a=("x"',
            'a=("x""y")',
            "a=1.5",
            "a=1234567890123456",
            "a=-",
            'a="x',
            'a="\\x"',
            "a=:aGk:",
            "a=:aGl=:",
            "a=:a:",
            "a=?2",
            "a=@1",
            "a=1;b=1;b=2",
            "a=1, a=2",
            "a=\u00e4",
            "a=" + "1" * 9_000,
            "a=(" + " ".join(['"x"'] * 17) + ")",
            ",".join(f"a{n}=1" for n in range(17)),
        ],
    )
    def test_that_can_be_read_in_two_ways_are_not(self, text):
        """Malformed, repeated, endless, or of a kind that is not read here."""
        with pytest.raises(structured.Malformed):
            structured.parse_dictionary(text)

    @given(st.text(max_size=60))
    def test_are_read_or_refused(self, text):
        """Any text is read, in one way, or refused as malformed."""
        try:
            found = structured.parse_dictionary(text)
        except structured.Malformed:
            return
        assert found == structured.parse_dictionary(f" {text} ")
        for member in found.values():
            assert isinstance(member, structured.Item | structured.InnerList)
