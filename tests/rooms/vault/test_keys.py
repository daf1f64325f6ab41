"""Keys, ciphertexts, shares, caches and quotas, without a database."""

import hmac
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shamir_mnemonic import generate_mnemonics

from scudo.fabric import Tokeniser, token_from, token_message
from scudo.vault import answers, errors, wire
from scudo.vault.errors import CardNumberInvalid, CiphertextBroken, VaultQuota
from scudo.vault.folder import Folder
from scudo.vault.keys import (
    Key,
    KeyCache,
    Place,
    field_key,
    new_key,
    open_sealed,
    seal,
    search_digest,
    version_of,
)
from scudo.vault.keystore import ED25519, FileKeyStore
from scudo.vault.model import BIN_DIGITS, FIELDS, TOKEN_KINDS, demand_card
from scudo.vault.quotas import Quotas
from scudo.vault.sealing import PATIENCE_US, Unsealing, split

SECRET = "hunter2-planted"
PLACE = Place("field", "sealed/email", 7, b"r" * 16)
OTHER_PLACES = [
    Place("card", "sealed/email", 7, b"r" * 16),
    Place("field", "sealed/phone", 7, b"r" * 16),
    Place("field", "sealed/email", 8, b"r" * 16),
    Place("field", "sealed/email", 7, b"s" * 16),
    # The same bytes, cut elsewhere.
    Place("fields", "ealed/email", 7, b"r" * 16),
]


class TestCiphertexts:
    @given(text=st.binary(max_size=200), version=st.integers(1, 2**32 - 1))
    def test_open_where_they_belong(self, text, version):
        """What was sealed comes back, with its version."""
        key = new_key()

        sealed = seal(key, PLACE, text, version=version)

        assert open_sealed(key, PLACE, sealed) == text
        assert version_of(sealed) == version

    @given(text=st.binary(min_size=1, max_size=60), data=st.data())
    def test_do_not_open_with_any_byte_changed(self, text, data):
        """Header, nonce, text or tag: another byte anywhere, and nothing opens."""
        key = new_key()
        sealed = bytearray(seal(key, PLACE, text))
        at = data.draw(st.integers(0, len(sealed) - 1))
        sealed[at] ^= data.draw(st.integers(1, 255))

        with pytest.raises(CiphertextBroken):
            open_sealed(key, PLACE, bytes(sealed))

    @given(text=st.binary(max_size=60), data=st.data())
    def test_do_not_open_cut_or_lengthened(self, text, data):
        """A piece of a ciphertext, and more than it, are none."""
        key = new_key()
        sealed = seal(key, PLACE, text)
        cut = data.draw(st.integers(0, len(sealed) - 1))

        for wrong in (sealed[:cut], sealed + b"\x00"):
            with pytest.raises(CiphertextBroken):
                open_sealed(key, PLACE, wrong)

    @pytest.mark.parametrize("place", OTHER_PLACES, ids=str)
    def test_do_not_open_elsewhere(self, place):
        """Another table, column, person or row, even one that spells the same, is refused."""
        key = new_key()

        with pytest.raises(CiphertextBroken):
            open_sealed(key, place, seal(key, PLACE, b"text"))

    def test_do_not_open_with_another_key_of_the_same_id(self):
        """The id is a name; the key is what opens."""
        key = new_key()
        impostor = Key(key.id, new_key().secret)

        with pytest.raises(CiphertextBroken):
            open_sealed(impostor, PLACE, seal(key, PLACE, b"text"))

    def test_of_the_same_text_differ(self):
        """Nobody sees from ciphertexts that two values are equal."""
        key = new_key()

        assert seal(key, PLACE, b"text") != seal(key, PLACE, b"text")

    def test_of_fields_have_a_key_each(self):
        """The keys of two fields, and of two persons, are different."""
        first, second = new_key(), new_key()
        phone = Place("field", "sealed/phone", 7, b"r" * 16)

        derived = {
            field_key(key, place).secret for key in (first, second) for place in (PLACE, phone)
        }

        assert len(derived) == 4
        assert first.secret not in derived


class TestSearchDigests:
    @given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), unique=True, max_size=20))
    def test_keep_kinds_and_values_apart(self, pairs):
        """No two pairs of kind and value share a digest, however they are cut."""
        key = new_key()

        assert len({search_digest(key, *pair) for pair in pairs}) == len(pairs)


class TestTokens:
    @given(key=st.binary(min_size=32, max_size=32), kind=st.text(), value=st.text())
    def test_are_the_tokenisers(self, key, kind, value):
        """The vault's way to a token and the tokeniser's give the same one."""
        digest = hmac.digest(key, token_message(kind, value), "sha256")

        assert token_from(digest) == Tokeniser(key).token(kind, value)
        assert 0 < token_from(digest) < 1 << 63


class TestOperationalKeys:
    def test_are_kept_for_their_owner_alone(self, tmp_path):
        """The file is private, keys come back from it, and an open file is refused."""
        store = FileKeyStore(Folder.open(tmp_path))
        store.rotate(ED25519)
        signature = store.sign(ED25519, b"head")
        (file,) = tmp_path.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600

        again = FileKeyStore(Folder.open(tmp_path))

        assert again.signing_keys() == store.signing_keys()
        assert again.sign(ED25519, b"head") == signature
        file.chmod(0o640)
        with pytest.raises(errors.VaultFolderUnfit):
            FileKeyStore(Folder.open(tmp_path))

    def test_are_refused_when_their_file_is_broken(self, tmp_path):
        """A file that cannot be read is never replaced by new keys."""
        FileKeyStore(Folder.open(tmp_path))
        (file,) = tmp_path.iterdir()
        file.write_bytes(file.read_bytes()[:-1])
        before = file.read_bytes()

        with pytest.raises(errors.VaultFolderUnfit):
            FileKeyStore(Folder.open(tmp_path))

        assert file.read_bytes() == before


class TestShares:
    @pytest.mark.parametrize("chosen", list(itertools.combinations(range(5), 3)), ids=str)
    def test_bring_the_root_back_whoever_comes(self, chosen):
        """Any three of five, in any company, and no two."""
        root = new_key().secret
        made = split(root, shares=5, threshold=3)
        waiting = Unsealing(identifier=made.identifier, threshold=3)

        given_back = [
            waiting.offer(made.shares[number], keeper=f"k{number}", now=0) for number in chosen
        ]

        assert given_back == [None, None, root]

    @pytest.mark.parametrize(("shares", "threshold"), [(5, 1), (1, 1), (3, 4), (17, 3), (0, 0)])
    def test_are_never_one_persons(self, shares, threshold):
        """A split by which one person opens the vault, or nobody does, is refused."""
        with pytest.raises(errors.SharesUnfit):
            split(bytes(32), shares=shares, threshold=threshold)

    def test_are_refused_with_a_reason(self):
        """A wrong word, a foreign share, a share and a keeper that come twice: each is told."""
        made = split(bytes(32), shares=3, threshold=2)
        foreign = split(bytes(32), shares=3, threshold=2)
        waiting = Unsealing(identifier=made.identifier, threshold=2)
        first, second, _ = made.shares
        waiting.offer(first, keeper="ada", now=0)
        wrong = first.replace(first.split()[9], "zebra-crossing", 1)

        for share, keeper, refusal in (
            (wrong, "bob", errors.ShareMalformed),
            ("", "bob", errors.ShareMalformed),
            ("academic " * 33, "bob", errors.ShareMalformed),
            (foreign.shares[1], "bob", errors.ShareForeign),
            (first.upper(), "bob", errors.ShareRepeated),
            (second, "ada", errors.KeeperRepeated),
        ):
            with pytest.raises(refusal) as caught:
                waiting.offer(share, keeper=keeper, now=1)
            assert caught.value.__cause__ is None
            assert waiting.progress(now=1) == 1
        assert waiting.offer(second, keeper="bob", now=2) == bytes(32)

    def test_are_forgotten_after_a_quarter_of_an_hour(self):
        """What was entered too long ago does not count."""
        made = split(bytes(32), shares=3, threshold=2)
        waiting = Unsealing(identifier=made.identifier, threshold=2)
        waiting.offer(made.shares[0], keeper="ada", now=0)

        assert waiting.progress(now=PATIENCE_US - 1) == 1
        assert waiting.offer(made.shares[1], keeper="bob", now=PATIENCE_US) is None
        assert waiting.progress(now=PATIENCE_US) == 1

    def test_of_another_threshold_are_foreign(self):
        """Shares that carry our identifier by chance and are of another split are refused."""
        made = split(bytes(32), shares=3, threshold=2)
        (group,) = generate_mnemonics(1, [(3, 3)], bytes(32))
        waiting = Unsealing(identifier=made.identifier, threshold=2)

        with pytest.raises(errors.ShareForeign):
            waiting.offer(group[0], keeper="eve", now=0)


class TestCache:
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["keep", "find", "forget", "expire"]),
                st.integers(1, 6),
                st.integers(0, 30),
            )
        )
    )
    def test_is_bounded_and_never_gives_what_is_old_or_forgotten(self, steps):
        """Under any order of use it holds at most its size and gives only what is fresh."""
        cache, now = KeyCache(size=3, age_us=50), 0
        born: dict[int, tuple[Key, int]] = {}
        for step, person, passed in steps:
            now += passed
            if step == "keep":
                born[person] = (new_key(), now)
                cache.keep(person, born[person][0], now=now, generation=cache.generation)
            elif step == "forget":
                cache.forget(person)
                born.pop(person, None)
            elif step == "expire":
                cache.expire(now=now)
                fresh = [one for one, (_, since) in born.items() if now - since < 50]
                assert len(cache) <= len(fresh)
            elif person in born:
                key, since = born[person]
                found = cache.find(person, key.id, now=now)
                assert found in {None, key}
                assert found is None or now - since < 50
            else:
                assert cache.find(person, bytes(16), now=now) is None
            assert len(cache) <= 3

    def test_does_not_keep_what_was_read_before_an_erasure(self):
        """A key on its way when somebody is erased does not come back into memory."""
        cache = KeyCache(size=3, age_us=50)
        generation = cache.generation
        cache.forget(7)

        cache.keep(7, new_key(), now=0, generation=generation)

        assert len(cache) == 0

    def test_drops_the_least_recently_used(self):
        """With no room left, the key that was used longest ago goes."""
        cache, keys = KeyCache(size=2, age_us=50), [new_key() for _ in range(3)]
        cache.keep(0, keys[0], now=0, generation=0)
        cache.keep(1, keys[1], now=1, generation=0)
        cache.find(0, keys[0].id, now=2)

        cache.keep(2, keys[2], now=3, generation=0)

        assert cache.find(1, keys[1].id, now=4) is None
        assert cache.find(0, keys[0].id, now=4) == keys[0]


class TestQuotas:
    @given(st.lists(st.tuples(st.integers(0, 400_000), st.integers(1, 4)), max_size=60))
    def test_never_give_more_than_a_second_and_its_burst(self, asked):
        """In any second no more than twice the rate is given, in the long run no more than it."""
        quotas, now, given_at = Quotas({"screening": 10}), 0, []
        for passed, values in asked:
            now += passed
            try:
                quotas.take("screening", values, now=now)
            except VaultQuota:
                continue
            given_at += [now] * values
        assert len(given_at) <= 10 + 10 * now / 1_000_000
        for start in given_at:
            assert len([at for at in given_at if start <= at < start + 1_000_000]) <= 20

    def test_fill_again(self):
        """After a second the whole quota is there."""
        quotas = Quotas({"screening": 2})
        quotas.take("screening", 2, now=0)
        with pytest.raises(VaultQuota):
            quotas.take("screening", 1, now=499_999)

        quotas.take("screening", 2, now=1_000_000)

        assert quotas.refused == {"screening": 1}


class TestCardNumbers:
    @pytest.mark.parametrize(
        "number", ["4111111111111111", "378282246310005", "6304000000000000", "4222222222222"]
    )
    def test_are_known_by_length_and_check_digit(self, number):
        """Good numbers of several lengths pass; with any one digit changed they do not."""
        demand_card(number, "2030-01")

        for place, digit in enumerate(number):
            changed = str((int(digit) + 1) % 10)
            with pytest.raises(CardNumberInvalid):
                demand_card(number[:place] + changed + number[place + 1 :], "2030-01")

    @pytest.mark.parametrize(
        ("number", "expiry"),
        [
            ("", "2030-01"),
            ("42", "2030-01"),
            ("4111 1111 1111 1111", "2030-01"),
            ("\u0664111111111111111", "2030-01"),
            ("0" * 20, "2030-01"),
            ("4111111111111111", "2030-13"),
            ("4111111111111111", "2030-00"),
            ("4111111111111111", "01/30"),
            ("4111111111111111", "2030-1"),
            ("4111111111111111", "2030-01-01"),
        ],
    )
    def test_are_refused_when_they_cannot_be_ones(self, number, expiry):
        """Other lengths, other digits and other dates are refused, and not repeated."""
        with pytest.raises(CardNumberInvalid) as caught:
            demand_card(number, expiry)

        assert not number or number not in str(caught.value)


class TestDeclarations:
    def test_fit_together(self):
        """The kinds of tokens that fields name are declared; halves leave digits hidden."""
        assert {field.token for field in FIELDS.values()} - {None} <= TOKEN_KINDS
        assert 13 - BIN_DIGITS - 4 >= 3


class TestReprs:
    @pytest.mark.parametrize(
        "value",
        [
            Key(b"i" * 16, SECRET.encode()),
            wire.PutPerson(7, {"email": SECRET}),
            wire.PutCard(SECRET, SECRET),
            wire.Tokenise("email", (SECRET,)),
            wire.Unseal(SECRET, "ada"),
            wire.Sign("ed25519", SECRET.encode()),
            wire.FindPerson("email", SECRET, wire.Why("screening", "op", "case")),
            answers.FieldsRead({"email": SECRET}, ()),
            answers.CardRead(SECRET, SECRET, ()),
            answers.RootPrepared((SECRET,), 2),
            wire.Answered(1, answers.RootPrepared((SECRET,), 2)),
            split(bytes(32), shares=3, threshold=2),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_show_nothing_secret(self, value):
        """What lands in a log or a traceback by accident is a class name."""
        shown = f"{value!r} {value} {[value]}"

        assert SECRET not in shown
        assert repr(SECRET.encode()) not in shown
        assert not [word for word in getattr(value, "shares", ()) if word in shown]
