"""What is signed, and what names a key, is written down for ever."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from scudo.governance import ED25519, ML_DSA_65
from scudo.kernel import currency
from scudo.proofcheck import CURRENCIES, Head, Key, NotProven, check_signature, money

SEED = bytes(range(32))
ED_KEY = Key(ED25519, Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw(), 5)
ML_KEY = Key(ML_DSA_65, MLDSA65PrivateKey.from_seed_bytes(SEED).public_key().public_bytes_raw(), 5)


def head(signer, **changed):
    members = {
        "log": bytes.fromhex("000102030405060708090a0b0c0d0e0f"),
        "number": 7,
        "size": 42,
        "root": bytes([0xAB]) * 32,
        "position": 1_234,
        "signed_at": 1_790_000_000_000_000,
        "cadence": "moment",
        "algorithm": signer.algorithm,
        "key": signer.fingerprint,
    }
    return Head(**(members | changed))


class TestStatement:
    def test_is_these_bytes(self):
        """Tag, log, number, size, root, position, instant, cadence, key; big-endian."""
        expected = (
            "736375646f2e7369676e65642d686561642e763100"
            "000102030405060708090a0b0c0d0e0f"
            "0000000000000007"
            "000000000000002a" + "ab" * 32 + "00000000000004d2"
            "00065bfeda25e000"
            "00"
            "068d6c5eed18f42d64e61711650d4ccf0f2c38bbe98678369df95304afb064ee"
        )

        assert head(ED_KEY).statement.hex() == expected

    def test_says_why_it_was_signed(self):
        """The cadence is one byte, before the key."""
        found = [head(ED_KEY, cadence=why).statement[-33] for why in ("moment", "hour", "day")]

        assert found == [0, 1, 2]

    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            (ED_KEY, "068d6c5eed18f42d64e61711650d4ccf0f2c38bbe98678369df95304afb064ee"),
            (ML_KEY, "59cb0d50d30759b2d42c819d08979d53ad6221f85913365bd9e37dd7936f4167"),
        ],
    )
    def test_names_a_key_by_its_fingerprint(self, key, expected):
        """A fingerprint covers the algorithm and the public key."""
        assert key.fingerprint.hex() == expected


class TestSignatures:
    def test_of_ed25519_are_these_bytes(self):
        """The same key signs the same head in the same way, for ever."""
        signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(head(ED_KEY).statement)

        expected = (
            "b638c9d358614adbdc073121f750c97155498fd8acee0275ed0724f6b80a7b0a"
            "77cbdacbdf8c8a34551485e3feb69af9950e9b8a3b8a71cc33adb184b49e9800"
        )
        assert signature.hex() == expected
        check_signature(head(ED_KEY, signature=signature), ED_KEY)

    def test_of_ml_dsa_65_are_accepted(self):
        """A head that the second algorithm signed is checked as one of the first is."""
        signature = MLDSA65PrivateKey.from_seed_bytes(SEED).sign(head(ML_KEY).statement)

        check_signature(head(ML_KEY, signature=signature), ML_KEY)

        with pytest.raises(NotProven):
            check_signature(head(ML_KEY, signature=signature[:-1] + b"\x00"), ML_KEY)

    @pytest.mark.parametrize(
        "changed",
        [
            {"log": bytes(16)},
            {"number": 8},
            {"size": 43},
            {"root": bytes(32)},
            {"position": 1_235},
            {"signed_at": 1_790_000_000_000_001},
            {"cadence": "day"},
            {"algorithm": ML_DSA_65},
            {"key": bytes(32)},
            {"signature": bytes(64)},
        ],
    )
    def test_cover_every_member(self, changed):
        """With any other member the signature is not accepted."""
        signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(head(ED_KEY).statement)

        with pytest.raises(NotProven):
            check_signature(head(ED_KEY, **({"signature": signature} | changed)), ED_KEY)

    def test_do_not_count_before_their_key_was_in_use(self):
        """A head that claims an earlier time than its key is refused."""
        early = head(ED_KEY, signed_at=4)
        signature = Ed25519PrivateKey.from_private_bytes(SEED).sign(early.statement)

        with pytest.raises(NotProven, match="before its key was in use"):
            check_signature(head(ED_KEY, signed_at=4, signature=signature), ED_KEY)


class TestMoney:
    @pytest.mark.parametrize("known", CURRENCIES.split())
    def test_has_the_exponents_that_the_bank_has(self, known):
        """Number, code and exponent of every currency are those of the bank's own table."""
        bank = currency(known[3:6])

        assert (int(known[:3]), int(known[6])) == (bank.numeric, bank.exponent)

    @pytest.mark.parametrize(
        ("minor", "numeric", "words"),
        [
            (1_250, 978, "12.50 EUR"),
            (5, 978, "0.05 EUR"),
            (1_250, 392, "1250 JPY"),
            (1_250, 414, "1.250 KWD"),
            (1_250, 8, "1250 minor units of the currency 008 (ISO 4217)"),
        ],
    )
    def test_is_told_as_people_write_it(self, minor, numeric, words):
        """Minor units are shown with the currency's decimals; an unknown one by its number."""
        assert money(minor, numeric) == words
