"""What replaced keys leave behind: nothing, in no file of the vault."""

import base64
import os

import msgspec
from tests.rooms.vault.conftest import ADA
from tests.rooms.vault.test_search_rotation import search_keys, until_swept

from scudo import vault
from scudo.vault.keys import Key, Place, open_sealed


def forms(secret: bytes) -> set[bytes]:
    """Key material as programs write bytes."""
    return {
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
    }


def operational(home) -> dict[str, object]:
    path = home.folder / "vault" / vault.OPERATIONAL_FILE
    return msgspec.msgpack.decode(path.read_bytes())


def seeds(home) -> set[bytes]:
    """Private signing keys that are kept."""
    return {seed["seed"] for seed in operational(home)["signers"]}


def unit_keys(home) -> set[bytes]:
    """Unit and search keys in clear, as whoever has the development root can have them."""
    secret = (home.folder / "vault" / "development.root").read_bytes()
    with home.as_admin() as admin:
        (root,) = admin.execute("SELECT id FROM vault.root WHERE state = 'active'").fetchone()
        rows = admin.execute("SELECT id, wrapped FROM vault.unit_key").fetchall()
    return {
        open_sealed(Key(root, secret), Place("unit_key", "wrapped", 0, key), wrapped)
        for key, wrapped in rows
    }


def found(home, secrets: set[bytes]) -> list[str]:
    """Files of the vault that hold one of these, in any form."""
    wanted = [form for secret in secrets for form in forms(secret)]
    files = [path for path in home.folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(form in path.read_bytes() for form in wanted)]


def test_no_old_key_is_in_any_file_after_the_rotations(home):
    """Roots, unit, search and signing keys of before are in no file; token keys stay on purpose."""
    client = home.opened()
    client.ask(vault.PutPerson(7, ADA))
    root = (home.folder / "vault" / "development.root").read_bytes()
    old_seeds, old_units, old_tokens = seeds(home), unit_keys(home), operational(home)["tokens"]
    assert found(home, {root}) == ["development.root"]
    assert found(home, old_seeds) == [vault.OPERATIONAL_FILE]

    for which in ("ed25519", "ml-dsa-65", "token"):
        client.ask(vault.RotateOperational(which))
    client.ask(vault.RotateUnit())
    client.ask(vault.RotateSearch())
    client.ask(vault.PrepareDevelopmentRoot())
    client.ask(vault.CommitRoot())
    until_swept(client)
    assert search_keys(home, wanted=1) == [(2, "active")]
    second = (home.folder / "vault" / "development.root").read_bytes()

    assert found(home, {root, *old_seeds, *old_units}) == []
    assert not old_units & unit_keys(home)
    # Older tokens of the log are still made from their values: Tokenise by version.
    assert found(home, set(old_tokens)) == [vault.OPERATIONAL_FILE]

    shares = client.ask(vault.PrepareRoot(3, 2)).shares
    client.ask(vault.CommitRoot())
    home.stop()
    assert found(home, {root, second}) == []
    words = {share.encode() for share in shares}
    assert [path for path in home.folder.rglob("*") if path.is_file()]
    assert found(home, words) == []


def test_a_file_of_before_loses_the_keys_that_sign_no_more(home):
    """Vaults in the field kept every private key: the next start keeps public halves of the old."""
    home.start()
    client = home.client()
    client.ask(vault.RotateOperational("ed25519"))
    keys = client.ask(vault.ListSigningKeys()).keys
    home.stop()
    path = home.folder / "vault" / vault.OPERATIONAL_FILE
    kept = operational(home)
    old = os.urandom(32)
    kept["signers"] = [{"algorithm": "ed25519", "seed": old}, *kept["signers"]]
    path.write_bytes(msgspec.msgpack.encode(kept))
    home.start()

    again = home.client().ask(vault.ListSigningKeys()).keys
    assert found(home, {old}) == []
    public = vault.SigningSeed("ed25519", old).private().public_key().public_bytes_raw()
    told = {key.public: key.is_active for key in again}
    assert told == {**{key.public: key.is_active for key in keys}, public: False}


def test_what_an_interrupted_write_left_is_taken_away(home):
    """A power cut amid a write leaves a file with keys, which the next start takes away."""
    home.start()
    home.running.kill()
    folder = home.folder / "vault"
    content = (folder / vault.OPERATIONAL_FILE).read_bytes()
    left = folder / f".{vault.OPERATIONAL_FILE}.0123abcd"
    left.write_bytes(content)
    os.chown(left, home.account.user_id, home.account.group_id)
    home.start()

    assert not left.exists()
    assert (folder / vault.OPERATIONAL_FILE).read_bytes() == content
