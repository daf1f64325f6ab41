"""Of a password or an authenticator the one holds that the log names, whatever happens between."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.totp import totp_code

from scudo.identity.customers.commands import ConfirmTotp, SetPassword
from scudo.identity.customers.passwords import new_seed
from scudo.identity.customers.persons import PASSWORD_HASH, TOTP_SEED

PASSWORD = "correct horse 4711"
ANOTHER = "another horse 4712"
THIRD = "third horse 4713"


class KilledError(Exception):
    """Stands for the end of the process between two steps."""


class Owner:
    """A customer with password and authenticator, and what a dying process does with them."""

    def __init__(self, bank, device):
        self.bank, self.device = bank, device
        self.office = bank.office
        self.customer = int(device.customer.removeprefix("cus_"), 16)
        self.session = int(device.session.removeprefix("ses_"), 16)
        assert device.send("PUT", "/v1/password", {"password": PASSWORD}).status_code == 204
        self.seed = device.post("/v1/totp").json()
        self.recovery = self.confirm(self.seed).json()["recovery_codes"]

    def confirm(self, begun, device=None):
        """Confirm an authenticator by its code of half a minute ago."""
        body = {"challenge_id": begun["challenge_id"], "code": totp_code(begun["seed"], step=-1)}
        return (device or self.device).post("/v1/totp/activation", body)

    def kept(self, field):
        """What the vault has."""
        return self.bank.run(self.office.ports.persons.read(self.customer, field)).split()

    def enters(self, password=PASSWORD, **proof):
        """Whether a password and a second proof let in."""
        body = {"email": self.device.address, "password": password, **proof}
        phone = self.bank.device(key=self.device.key, nonce=self.device.nonce)
        return phone.post("/v1/log-ins/password", body).status_code == 201

    def exchange(self, field, secret, change):
        """Exchange a secret in a process that ends while `change` runs."""

        async def dies(digest):
            await change(digest)
            raise KilledError

        with pytest.raises(KilledError):
            self.bank.run(self.office.secrets.exchange(self.customer, field, secret, dies))

    async def nothing(self, digest):
        """Die before the log is told."""

    async def log_password(self, digest):
        """Have the log say that a password holds, and die then."""
        command = SetPassword(self.session, self.customer, digest, 0)
        assert (await self.bank.bank.submit(command)).status == 204

    async def log_seed(self, digest):
        """Have the log say that an authenticator holds, and die then."""
        command = ConfirmTotp(self.session, self.customer, 1, (), 0, digest)
        assert (await self.bank.bank.submit(command)).status == 204

    def hash(self, password):
        return self.bank.run(self.office.passwords.hash(password))


@pytest.fixture
def owner(bank):
    """A customer with passkey, password and authenticator."""
    return Owner(bank, bank.signed_up())


class TestPassword:
    def test_of_before_holds_when_the_process_ends_before_the_log(self, owner):
        """The new hash is in the vault, and nobody is let in by it."""
        owner.exchange(PASSWORD_HASH, owner.hash(ANOTHER), owner.nothing)

        assert not owner.enters(ANOTHER, recovery_code=owner.recovery[0])
        assert owner.enters(PASSWORD, recovery_code=owner.recovery[0])

    def test_of_now_holds_when_the_process_ends_after_the_log(self, owner):
        """The log names the new hash, and the vault has it."""
        owner.exchange(PASSWORD_HASH, owner.hash(ANOTHER), owner.log_password)

        assert not owner.enters(PASSWORD, recovery_code=owner.recovery[0])
        assert owner.enters(ANOTHER, recovery_code=owner.recovery[0])

    def test_that_the_log_names_is_found_after_any_ends(self, owner):
        """Of changes that were cut off one after the other, the newest in the log holds."""
        for password, change in (
            ("lost 1", owner.nothing),
            (ANOTHER, owner.log_password),
            *((f"lost {n}", owner.nothing) for n in range(2, 8)),
        ):
            owner.exchange(PASSWORD_HASH, owner.hash(password), change)

        assert len(owner.kept(PASSWORD_HASH)) <= 6
        assert owner.enters(ANOTHER, recovery_code=owner.recovery[0])
        body = {"password": THIRD, "current_password": ANOTHER}
        assert owner.device.send("PUT", "/v1/password", body).status_code == 204
        assert len(owner.kept(PASSWORD_HASH)) == 1
        assert owner.enters(THIRD, recovery_code=owner.recovery[1])

    def test_is_changed_by_one_at_a_time(self, owner):
        """A change that comes while another is under way waits, and drops nothing of it."""
        began, seen = asyncio.Event(), []

        async def first(digest):
            began.set()
            await asyncio.sleep(0.2)
            await owner.log_password(digest)
            seen.append("first")
            raise KilledError

        async def second(digest):
            seen.append("second")
            raise KilledError

        async def both():
            exchange = owner.office.secrets.exchange
            one = asyncio.ensure_future(exchange(owner.customer, PASSWORD_HASH, hashes[0], first))
            await began.wait()
            two = exchange(owner.customer, PASSWORD_HASH, hashes[1], second)
            return await asyncio.gather(one, two, return_exceptions=True)

        hashes = [owner.hash(ANOTHER), owner.hash(THIRD)]
        ended = owner.bank.run(both())

        assert [type(one) for one in ended] == [KilledError, KilledError]
        assert seen == ["first", "second"]
        assert owner.enters(ANOTHER, recovery_code=owner.recovery[0])

    def test_of_two_who_change_it_at_once_is_that_of_one(self, owner):
        """Both are answered, and exactly one of the two passwords lets in."""
        owner.device.get("/v1/me")

        def change(password):
            phone = owner.bank.device(
                key=owner.device.key, access=owner.device.access, nonce=owner.device.nonce
            )
            body = {"password": password, "current_password": PASSWORD}
            return phone.send("PUT", "/v1/password", body).status_code

        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(change, [ANOTHER, THIRD]))

        assert 204 in answers
        assert len(owner.kept(PASSWORD_HASH)) == 1
        let_in = [
            owner.enters(password, recovery_code=recovery)
            for password, recovery in zip((ANOTHER, THIRD), owner.recovery, strict=False)
        ]
        assert sorted(let_in) == [False, True]


class TestAuthenticator:
    def test_of_before_holds_when_the_process_ends_before_the_log(self, owner):
        """A new seed that the log does not name gives no codes that count."""
        seed = new_seed()
        owner.exchange(TOTP_SEED, seed, owner.nothing)

        assert not owner.enters(code=totp_code(seed))
        assert owner.enters(code=totp_code(owner.seed["seed"]))

    def test_of_now_holds_when_the_process_ends_after_the_log(self, owner):
        """A seed that the log names is there, though nobody came to drop the one before."""
        seed = new_seed()
        owner.exchange(TOTP_SEED, seed, owner.log_seed)

        assert not owner.enters(code=totp_code(owner.seed["seed"]))
        assert owner.enters(code=totp_code(seed))

    def test_of_two_who_add_one_at_once_is_that_of_the_log(self, owner):
        """Of two authenticators that are confirmed at once, one gives good codes for ever."""
        begun = [owner.device.post("/v1/totp").json() for _ in range(2)]

        def confirm(one):
            phone = owner.bank.device(
                key=owner.device.key, access=owner.device.access, nonce=owner.device.nonce
            )
            return owner.confirm(one, phone).status_code

        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(confirm, begun))

        assert answers == [201, 201]
        [kept] = owner.kept(TOTP_SEED)
        good = [one["seed"] for one in begun]
        assert kept in good
        assert owner.enters(code=totp_code(kept))
        lost = next(seed for seed in good if seed != kept)
        assert not owner.enters(code=totp_code(lost, step=1))

    def test_from_before_accounts_named_their_seed_still_counts(self, owner):
        """What an older bank has confirmed holds, also beside a new one that was cut off."""
        seed = new_seed()
        owner.bank.run(owner.office.ports.persons.keep(owner.customer, {TOTP_SEED: seed}))
        owner.bank.run(owner.log_seed(0))
        owner.exchange(TOTP_SEED, new_seed(), owner.nothing)

        assert owner.enters(code=totp_code(seed))
