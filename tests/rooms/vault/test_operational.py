"""Operational keys: taken over from a bank once, used within bounds, and asked for together."""

import asyncio
import contextlib
import hmac
import struct

import msgspec
import pytest
from tests.rooms.vault.conftest import refused

from scudo import vault
from scudo.fabric import Tokeniser
from scudo.governance import KeyFiles, VaultSigner

KEY = b"k" * 32
CALLBACKS = b"c" * 32


def bank_before(home) -> KeyFiles:
    """The keys of a bank from before it had a vault; one signing key was replaced once."""
    (home.folder / "token.key").write_bytes(KEY)
    (home.folder / "callback.key").write_bytes(CALLBACKS)
    files = KeyFiles(home.folder / "keys")
    files.rotate("ed25519")
    return files


def key_files(home) -> dict[str, bytes]:
    others = [home.folder / name for name in ("callback.key", "token.key")]
    paths = [*others, *sorted((home.folder / "keys").glob("*.key"))]
    return {str(path.relative_to(home.folder)): path.read_bytes() for path in paths}


class TestTakingOver:
    @pytest.mark.parametrize("left", [0, 1, 2, 3, 4, 5])
    def test_killed_at_any_moment_leaves_one_good_set_of_keys(self, home, left):
        """However many files were gone by then, the next start has every key, and no file."""
        files = bank_before(home)
        former = key_files(home)
        assert len(former) == 5
        home.start()
        home.running.kill()
        # As the power cut left it: the last of the files were not removed yet.
        for name, content in list(former.items())[5 - left :]:
            (home.folder / name).write_bytes(content)

        home.start()
        client = home.client()

        token = Tokeniser(KEY).token("card", "4711")
        assert client.ask(vault.Tokenise("card", ("4711",))).tokens == (token,)
        secret = client.ask(vault.ShareCallbackSecret("partner_ping", 7)).secret
        assert secret == vault.derive_secret(CALLBACKS, "partner_ping", 7)
        told = {key.public for key in client.ask(vault.ListSigningKeys()).keys}
        assert told == {public for _, public in files.public_keys()}
        assert list(home.folder.rglob("*.key")) == []

    def test_before_the_keys_were_written_changes_nothing(self, home):
        """Killed before that, the files are as they were, and the next start takes them."""
        bank_before(home)
        former = key_files(home)
        # Its database is away, so it ends before it answers.
        with pytest.raises(vault.VaultRefusal) as refusal:
            home.start(dsn="host=/nowhere dbname=nothing")
        assert refusal.value.code == "vault_database_unreachable"
        assert key_files(home) == former

        home.start()
        assert list(home.folder.rglob("*.key")) == []

    @pytest.mark.parametrize("planted", ["token.key", "callback.key", "keys/ed25519-0009.key"])
    def test_takes_no_key_that_comes_later(self, home, planted):
        """Who can write the bank's folder cannot give the vault a key that they know."""
        bank_before(home)
        home.start()
        home.stop()
        path = home.folder / planted
        path.write_bytes(b"x" * 32)

        with pytest.raises(vault.VaultFolderUnfit, match="none of the vault's"):
            home.start()

        assert path.exists()
        path.unlink()
        home.start()
        signer = VaultSigner(home.client())
        assert len(signer.public_keys()) == 3

    def test_takes_the_key_of_callbacks_into_a_vault_that_has_the_others(self, home):
        """A vault from when that key was still the bank's takes it at its next start, once."""
        bank_before(home)
        (home.folder / "callback.key").unlink()
        home.start()
        home.stop()
        # As that vault left its file.
        path = home.folder / "vault" / vault.OPERATIONAL_FILE
        kept = msgspec.msgpack.decode(path.read_bytes())
        path.write_bytes(msgspec.msgpack.encode({**kept, "callback": b""}))
        (home.folder / "callback.key").write_bytes(CALLBACKS)
        home.start()

        secret = home.client().ask(vault.ShareCallbackSecret("partner_ping", 7)).secret
        assert secret == vault.derive_secret(CALLBACKS, "partner_ping", 7)
        assert not (home.folder / "callback.key").exists()


class TestCallbacks:
    def test_are_matched_and_nothing_more_is_told(self, home):
        """One right signature among several is a yes; of another callback, key or text a no."""
        home.start()
        client = home.client()
        client.ask(vault.Status())
        secret = client.ask(vault.ShareCallbackSecret("partner_ping", 7)).secret
        mac = hmac.digest(secret, b"signed", "sha256")
        for callback, keys, data, macs, matches in (
            ("partner_ping", (7,), b"signed", (mac,), True),
            ("partner_ping", (5, 6, 7), b"signed", (b"", bytes(32), mac), True),
            ("partner_ping", (6,), b"signed", (mac,), False),
            ("other_ping", (7,), b"signed", (mac,), False),
            ("partner_ping", (7,), b"signed ", (mac,), False),
            ("partner_ping", (7,), b"signed", (mac[:31],), False),
        ):
            asked = vault.MatchCallback(callback, keys, data, macs)
            assert client.ask(asked).matches is matches

    def test_are_bounded_in_number(self, home):
        """More than the quota of questions, or of secrets, is refused and counted."""
        home.start(reads_per_second={"callback": 3, "callback_secret": 1})
        client = home.client()
        asked = vault.MatchCallback("partner_ping", (7,), b"signed", (b"x",))
        for request, allowed in ((asked, 3), (vault.ShareCallbackSecret("partner_ping", 7), 1)):
            for _ in range(allowed):
                client.ask(request)
            assert refused(client.ask, request).code == "vault_quota"
        counted = client.ask(vault.Status()).refused
        assert (counted["callback"], counted["callback_secret"]) == (1, 1)


class TestSigner:
    def test_signs_by_the_key_that_the_statement_names(self, home):
        """Replaced between naming and signing: another key does not sign in its place."""
        home.start()
        client = home.client()
        signer = VaultSigner(client)
        signer.public_keys()
        client.ask(vault.RotateOperational("ed25519"))

        with pytest.raises(ConnectionError, match="vault_key_unknown"):
            signer.sign("ed25519", b"head")
        assert signer.sign("ml-dsa-65", b"head")
        (*_, newest) = [k for name, k in signer.public_keys() if name == "ed25519"]
        made = signer.sign("ed25519", b"head")

        active = [k for k in client.ask(vault.ListSigningKeys()).keys if k.is_active]
        assert newest in {key.public for key in active}
        assert made == client.ask(vault.Sign("ed25519", b"head")).signature

    def test_of_a_vault_that_is_away_cannot_be_reached(self, home):
        """The notary is told what it waits for: no contradiction, no fault of its own."""
        home.start()
        signer = VaultSigner(home.client(patience_s=0))
        home.running.kill()

        for ask in (signer.public_keys, lambda: signer.sign("ed25519", b"head")):
            with pytest.raises(OSError, match="vault_unavailable"):
                ask()


class TestQuotas:
    def test_bound_what_a_caller_gets_of_keys(self, home):
        """More tokens and signatures than any bank needs in a second are refused, and counted."""
        home.start(reads_per_second={"tokenise": 10, "sign": 2})
        client = home.client()
        asked = vault.TokeniseAll({"card": tuple(map(str, range(8)))})

        assert client.ask(asked).tokens
        assert refused(client.ask, asked).code == "vault_quota"
        many = vault.Tokenise("card", tuple(map(str, range(11))))
        assert refused(client.ask, many).code == "vault_quota"
        for _ in range(2):
            client.ask(vault.Sign("ed25519", b"head"))
        assert refused(client.ask, vault.Sign("ed25519", b"head")).code == "vault_quota"
        counted = client.ask(vault.Status()).refused
        assert counted["tokenise"] == 2
        assert counted["sign"] == 1


@contextlib.asynccontextmanager
async def counted(home):
    """Tokens and texts, through a wire that counts what the bank's process sends over it."""
    frames, carriers = [], []

    async def carry(reader, writer):
        carriers.append(asyncio.current_task())
        back, forth = await asyncio.open_unix_connection(str(home.running.socket))

        async def answers():
            while chunk := await back.read(65_536):
                writer.write(chunk)

        answering = asyncio.create_task(answers())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(4)
                frames.append(await reader.readexactly(struct.unpack(">I", head)[0]))
                forth.write(head + frames[-1])
        answering.cancel()
        for end in (forth, writer):
            end.close()
            with contextlib.suppress(ConnectionError):
                await end.wait_closed()

    path = home.folder / "wire"
    async with await asyncio.start_unix_server(carry, path):
        async with vault.AsyncVaultClient(path, patience_s=0, timeout_s=5) as client:
            yield vault.VaultTokens(client), frames
        await asyncio.gather(*carriers)


class TestTokens:
    def test_of_one_turn_are_asked_for_together_and_once(self, home):
        """A hundred requests that came in at once are one message, each value once in it."""
        home.start()

        async def scenario():
            async with counted(home) as (tokens, frames):
                asked = [[("card", f"card-{n % 50}"), ("ip", "::1")] for n in range(100)]
                found = await asyncio.gather(*(tokens.tokens(named) for named in asked))
                again = await asyncio.gather(*(tokens.tokens(named) for named in asked))
                return found, again, frames

        found, again, frames = asyncio.run(scenario())

        with home.client() as client:
            for number, (card, ip) in enumerate(found):
                named = {"card": (f"card-{number % 50}",), "ip": ("::1",)}
                assert client.ask(vault.TokeniseAll(named)).tokens == (card, ip)
                if number == 5:
                    break
        assert again == found
        assert len(frames) == 1
        assert frames[0].count(b"card-7") == 1

    def test_of_the_longest_values_fit_their_frames(self, home):
        """A thousand values as long as requests may have them are answered, whatever they weigh."""
        home.start()

        async def scenario():
            async with counted(home) as (tokens, frames):
                named = [("card", f"{n:04}" + "\N{OGHAM SPACE MARK}" * 124) for n in range(1_000)]
                return await tokens.tokens(named), frames

        found, frames = asyncio.run(scenario())

        assert len(set(found)) == 1_000
        assert len(frames) == 3

    def test_are_refused_to_all_who_wait_when_the_vault_is_away(self, home):
        """Everybody is told, and one who went away meanwhile takes nobody along."""
        home.start()

        async def scenario():
            async with counted(home) as (tokens, _):
                known = await tokens.tokens([("card", "known")])
                home.running.kill()
                first = asyncio.create_task(tokens.tokens([("card", "a")]))
                second = asyncio.create_task(tokens.tokens([("card", "b"), ("card", "known")]))
                gone = asyncio.create_task(tokens.tokens([("card", "c")]))
                await asyncio.sleep(0)
                gone.cancel()
                told = await asyncio.gather(first, second, gone, return_exceptions=True)
                return known, await tokens.tokens([("card", "known")]), told

        known, still, told = asyncio.run(scenario())

        assert still == known
        assert [type(one).__name__ for one in told[:2]] == ["VaultUnavailable"] * 2
        assert isinstance(told[2], asyncio.CancelledError)

    def test_are_forgotten_when_there_is_a_new_key(self, home):
        """The first answer of a new key ends what was remembered of the old one."""
        home.start()
        client = home.client()

        async def scenario():
            async with counted(home) as (tokens, _):
                (old,) = await tokens.tokens([("card", "a")])
                client.ask(vault.RotateOperational("token"))
                await tokens.tokens([("card", "b")])
                (new,) = await tokens.tokens([("card", "a")])
                return old, new

        old, new = asyncio.run(scenario())

        assert old != new
        assert client.ask(vault.Tokenise("card", ("a",), 1)).tokens == (old,)
        assert client.ask(vault.Tokenise("card", ("a",))).tokens == (new,)

    def test_are_remembered_for_a_minute_at_most(self, home, monkeypatch):
        """However often they are asked for, values leave this process's memory."""
        home.start()
        monkeypatch.setattr("scudo.vault.tokens._RECENT_S", 0.2)

        async def scenario():
            async with counted(home) as (tokens, frames):
                for _ in range(12):
                    await tokens.tokens([("card", "a")])
                    await asyncio.sleep(0.05)
                sent = len(frames)
                await asyncio.sleep(0.5)
                return sent, {**tokens._recent, **tokens._older}

        sent, left = asyncio.run(scenario())

        assert 2 <= sent < 12
        assert left == {}
