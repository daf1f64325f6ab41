"""A request is proven by the key of its device, for itself alone, and once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webauthn.helpers import bytes_to_base64url as b64

from scudo.fabric.web import Arrival
from scudo.identity.dpop import AHEAD_S, WINDOW_S, DeviceKey, Proofs, Replays
from scudo.identity.errors import ProofRefusal
from scudo.simulation import DeviceKey as Key

NOW = 1_800_000_000
HOST = "https://bank.example"
#: RFC 9449, figures 2 and 12: proofs for a token, and with it.
FOR_TOKEN = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNo"
    "UklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERW"
    "clUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh"
    "0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8"
    "v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
WITH_TOKEN = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNo"
    "UklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERW"
    "clUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR"
    "1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCw"
    "iYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-E"
    "y71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
ACCESS_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


class Clock:
    """A clock that tests turn; in seconds."""

    def __init__(self, now=NOW):
        self.now = now

    def __call__(self):
        return self.now * 1_000_000


def arrival(proof, *, method="POST", path="/v1/payments", query=b""):
    headers = {} if proof is None else {b"dpop": proof.encode()}
    return Arrival(method, path, query, headers)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def proofs(clock):
    """Proofs of a server that runs for long."""
    checked = Proofs(origins=(HOST,), now=clock)
    clock.now += 3_600
    return checked


@pytest.fixture(params=["P-256", "Ed25519"])
def key(request):
    return Key(request.param)


def refusal(proofs, request, **more):
    with pytest.raises(ProofRefusal) as refused:
        proofs.check(request, **more)
    return refused.value.code


class TestExamples:
    @pytest.mark.parametrize(
        ("proof", "at", "origin", "method", "path", "token"),
        [
            (FOR_TOKEN, 1_562_262_616, "https://server.example.com", "POST", "/token", None),
            (
                WITH_TOKEN,
                1_562_262_618,
                "https://resource.example.org",
                "GET",
                "/protectedresource",
                ACCESS_TOKEN,
            ),
        ],
    )
    def test_of_the_standard_hold(self, proof, at, origin, method, path, token):
        """The proofs of RFC 9449 hold when they were made, with the thumbprint that it names."""
        clock = Clock(at - 3_600)
        proofs = Proofs(origins=(origin,), now=clock)
        clock.now = at

        key = proofs.check(arrival(proof, method=method, path=path), token=token)

        assert key.thumbprint == THUMBPRINT

    def test_of_the_standard_hold_for_their_token_only(self):
        """The proof with a token does not hold with another one."""
        clock = Clock(1_562_259_000)
        proofs = Proofs(origins=("https://resource.example.org",), now=clock)
        clock.now = 1_562_262_618
        request = arrival(WITH_TOKEN, method="GET", path="/protectedresource")

        assert refusal(proofs, request, token=ACCESS_TOKEN + "x") == "proof_mismatched"


@pytest.mark.fault(49, 50)
class TestProofs:
    def test_hold_once(self, proofs, clock, key):
        """A proof of either kind of key holds, and not again while it could."""
        proof = key.proof("POST", f"{HOST}/v1/payments", iat=clock.now)
        proofs.check(arrival(proof))
        again = [refusal(proofs, arrival(proof))]
        clock.now += WINDOW_S
        again.append(refusal(proofs, arrival(proof)))
        clock.now += AHEAD_S
        again.append(refusal(proofs, arrival(proof)))

        assert again == ["proof_replayed", "proof_replayed", "proof_expired"]

    def test_of_two_devices_may_have_one_name(self, proofs, clock):
        """What a device calls its proofs says nothing of another device's."""
        for key in (Key(), Key()):
            proof = key.proof("POST", f"{HOST}/v1/payments", iat=clock.now, jti="1")
            assert proofs.check(arrival(proof)).thumbprint == key.thumbprint

    @pytest.mark.parametrize(
        ("claims", "code"),
        [
            ({"iat": NOW + 3_600 - WINDOW_S - 1}, "proof_expired"),
            ({"iat": NOW + 3_600 + AHEAD_S + 1}, "proof_expired"),
            ({"iat": "now"}, "proof_malformed"),
            ({"iat": None}, "proof_malformed"),
            ({"jti": None}, "proof_malformed"),
            ({"jti": ""}, "proof_malformed"),
            ({"jti": "j" * 129}, "proof_malformed"),
            ({"jti": 7}, "proof_malformed"),
            ({"htm": "GET"}, "proof_mismatched"),
            ({"htm": "post"}, "proof_mismatched"),
            ({"htm": None}, "proof_malformed"),
            ({"htu": None}, "proof_malformed"),
            ({"htu": f"{HOST}/v1/payments/"}, "proof_mismatched"),
            ({"htu": "http://bank.example/v1/payments"}, "proof_mismatched"),
            ({"htu": "https://bank.example.evil/v1/payments"}, "proof_mismatched"),
            ({"htu": "https://bank.example:8443/v1/payments"}, "proof_mismatched"),
            ({"htu": "https://bank.example@evil/v1/payments"}, "proof_mismatched"),
            ({"htu": "/v1/payments"}, "proof_mismatched"),
            ({"htu": "https://[/v1/payments"}, "proof_mismatched"),
            ({"nonce": "another"}, "proof_nonce_needed"),
            ({"header": {"alg": "none"}}, "proof_malformed"),
            ({"header": {"alg": "HS256"}}, "proof_malformed"),
            ({"header": {"alg": "EdDSA"}}, "proof_malformed"),
            ({"header": {"alg": "RS256"}}, "proof_malformed"),
            ({"header": {"typ": "JWT"}}, "proof_malformed"),
            ({"header": {"crit": ["exp"]}}, "proof_malformed"),
            ({"header": {"jwk": None}}, "proof_malformed"),
            ({"header": {"jwk": {"kty": "oct", "k": "AAAA"}}}, "proof_malformed"),
            ({"header": {"jwk": Key().jwk}}, "proof_malformed"),
            ({"header": {"jwk": Key().jwk | {"d": "AAAA"}}}, "proof_malformed"),
            ({"header": {"jwk": Key().jwk | {"crv": "secp256k1"}}}, "proof_malformed"),
            ({"header": {"jwk": Key().jwk | {"x": b64(bytes(32))}}}, "proof_malformed"),
            ({"header": {"jwk": Key().jwk | {"x": b64(bytes(31))}}}, "proof_malformed"),
        ],
    )
    def test_are_refused(self, proofs, clock, claims, code):
        """A proof that is old, of another request, or of another form than RFC 9449's."""
        told = {"iat": clock.now} | claims

        proof = Key().proof("POST", f"{HOST}/v1/payments", **told)

        assert refusal(proofs, arrival(proof)) == code

    @pytest.mark.parametrize(
        "url",
        [
            f"{HOST}/v1/payments?page=2",
            f"{HOST}/v1/payments#top",
            "HTTPS://Bank.Example/v1/payments",
            "https://bank.example:443/v1/payments",
            f"{HOST}/v1/%70ayments",
        ],
    )
    def test_hold_for_a_url_that_is_the_same(self, proofs, clock, url):
        """Case of scheme and host, the scheme's port, escapes and query make no difference."""
        key = Key()
        found = proofs.check(arrival(key.proof("POST", url, iat=clock.now)))

        assert found.thumbprint == key.thumbprint

    @pytest.mark.parametrize(
        "proof", [None, "", "a.b", "a.b.c", "a.b.c.d", "e30.e30.e30", "\x00.\xff.+", "x" * 3_000]
    )
    def test_of_other_forms_are_refused(self, proofs, proof):
        """None, or what is no compact JWS, is refused."""
        headers = {} if proof is None else {b"dpop": proof.encode("latin-1")}
        request = Arrival("POST", "/v1/payments", b"", headers)

        assert refusal(proofs, request) == ("proof_missing" if proof is None else "proof_malformed")

    @given(st.data())
    def test_are_refused_with_any_character_changed(self, data):
        """Whatever character of a proof is another, it does not hold, and nothing breaks."""
        clock = Clock()
        proofs = Proofs(origins=(HOST,), now=clock)
        clock.now += 3_600
        proof = Key().proof("POST", f"{HOST}/v1/payments", iat=clock.now)
        # The last character of a part holds bits that mean nothing.
        ends = {i - 1 for i, c in enumerate(proof) if c == "."} | {len(proof) - 1}
        at = data.draw(st.sampled_from([i for i in range(len(proof)) if i not in ends]))
        other = data.draw(st.sampled_from("AZaz09-_.+/=~ ").filter(lambda c: c != proof[at]))

        with pytest.raises(ProofRefusal):
            proofs.check(arrival(proof[:at] + other + proof[at + 1 :]))

    def test_of_another_key_than_the_tokens_are_refused(self, proofs, clock):
        """A token that is bound to one key is not good with another."""
        mine, thiefs = Key(), Key()
        proof = mine.proof("POST", f"{HOST}/v1/payments", iat=clock.now, token="at")
        bound = DeviceKey(proof.partition(".")[0].encode())
        stolen = thiefs.proof("POST", f"{HOST}/v1/payments", iat=clock.now, token="at")

        assert refusal(proofs, arrival(stolen), token="at", key=bound) == "key_mismatched"
        assert proofs.check(arrival(proof), token="at", key=bound) is bound

    def test_with_members_in_another_order_are_of_the_same_key(self, proofs, clock):
        """The thumbprint names the key, not how its header is written."""
        key = Key()
        proof = key.proof("POST", f"{HOST}/v1/payments", iat=clock.now, token="at")
        bound = DeviceKey(proof.partition(".")[0].encode())
        key.jwk = dict(reversed(key.jwk.items()))
        other = key.proof("POST", f"{HOST}/v1/payments", iat=clock.now, token="at")

        found = proofs.check(arrival(other), token="at", key=bound)

        assert (found.header != bound.header, found.thumbprint) == (True, key.thumbprint)


class TestStart:
    def test_asks_for_a_nonce_while_older_proofs_could_come(self):
        """What another process may have seen is refused; with the nonce of this one it holds."""
        clock = Clock()
        proofs = Proofs(origins=(HOST,), now=clock)
        old = Key().proof("POST", f"{HOST}/v1/payments", iat=clock.now)
        with pytest.raises(ProofRefusal) as refused:
            proofs.check(arrival(old))
        headers = dict(refused.value.headers)

        assert refused.value.code == "proof_nonce_needed"
        assert b"use_dpop_nonce" in headers[b"www-authenticate"]
        nonce = headers[b"dpop-nonce"].decode()
        proof = Key().proof("POST", f"{HOST}/v1/payments", iat=clock.now, nonce=nonce)
        proofs.check(arrival(proof))
        assert refusal(proofs, arrival(proof)) == "proof_replayed"

    def test_is_over_when_no_older_proof_can_come(self):
        """Later a proof without nonce holds."""
        clock = Clock()
        proofs = Proofs(origins=(HOST,), now=clock)
        key = Key()
        early = arrival(key.proof("POST", f"{HOST}/v1/payments", iat=clock.now))
        assert refusal(proofs, early) == "proof_nonce_needed"
        clock.now += AHEAD_S + 1

        late = arrival(key.proof("POST", f"{HOST}/v1/payments", iat=clock.now))
        assert proofs.check(late).thumbprint == key.thumbprint


class TestReplays:
    def test_are_known_as_long_as_a_proof_may_come(self):
        """A used proof is known until its time is over, and then memory lets go of it."""
        replays = Replays()
        replays.use(b"a", second=NOW)
        for second in range(NOW + 1, NOW + 4 * WINDOW_S):
            replays.use(b"%d" % second, second=second)
            if second <= NOW + WINDOW_S + AHEAD_S:
                with pytest.raises(ProofRefusal):
                    replays.use(b"a", second=second)

        assert len(replays._now) + len(replays._before) <= 2 * (WINDOW_S + AHEAD_S + 1)

    def test_beyond_what_memory_holds_refuse_everything(self):
        """When it cannot be known whether a proof was used, it counts as used."""
        replays = Replays(most=4)
        replays.use(b"a", second=NOW)
        replays.use(b"b", second=NOW)

        with pytest.raises(ProofRefusal):
            replays.use(b"c", second=NOW)
        replays.use(b"c", second=NOW + 2 * (WINDOW_S + AHEAD_S) + 1)
