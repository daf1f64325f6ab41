"""A person is erased: what is left of them on every disk, and what an old backup brings back."""

import base64
import contextlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from tests.conftest import Database
from tests.journeys.conftest import serving, until

from scudo import vault
from scudo.auditing import verify_bank
from scudo.bootstrap import CATALOGUE, migrate_all
from scudo.fabric.postgres import EmbeddedServer
from scudo.fabric.postgres.account import account_for
from scudo.fabric.postgres.binaries import binaries_for
from scudo.fabric.settings import Settings
from scudo.governance import EvidenceAudit
from scudo.kernel import Prefix, ids
from scudo.vault.keys import Key, Place, open_sealed

#: One value of every class, none of which is anywhere by chance.
PERSONAL = {
    "given_name": "Plantagenora",
    "family_name": "Quillfeather-Zwölfboten",
    "birth_date": "1931-07-29",
    "birth_place": "Unterplantingen an der Quelle",
    "nationality": "Plantagenian",
    "address": "17 Planted Mews, Quillford QF1 7ZZ",
    "email": "plantagenora@planted.example",
    "phone": "+41 79 555 83 61",
    "alias": "planted-alias-8361",
    "document_number": "PLANTED8361X",
    "tax_number": "756.8361.8361.97",
}
SECRET = {
    "totp_seed": "PLANTEDSEEDPLANTEDSEED83",
    "password_hash": "$argon2id$v=19$m=19456,t=2,p=1$UGxhbnRlZFNhbHQ4MzYx$UGxhbnRlZEhhc2g4MzYx",
}
CARD = "4000008361836187"
SENT = {"device": "planted-device-8361", "ip": "203.0.113.83", "card": "planted-card-8361"}
CARE = {"purpose": "privacy_request", "reason": "request:8361"}


@dataclass
class Disk:
    """A bank on an embedded PostgreSQL of its own, and all that it leaves on disks."""

    home: Path
    outside: Path

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, erasures=self.outside / "erasures")

    @contextlib.contextmanager
    def database(self):
        with EmbeddedServer(self.home, durable=False) as server:
            dsn = server.start()
            migrate_all(dsn)
            with psycopg.connect(dsn.owner, autocommit=True) as connection:
                yield Database(name="scudo", dsn=dsn, connection=connection)

    @contextlib.contextmanager
    def served(self):
        with self.database() as database, serving(database, self.settings) as bank:
            teller = bank.teller(bank.token)
            with contextlib.closing(teller.http):
                yield bank, teller

    @property
    def data(self) -> Path:
        return self.home / "postgres" / "data"

    def dump(self, name: str) -> None:
        """A dump of the whole database, as its administrator takes one."""
        with EmbeddedServer(self.home, durable=False) as server:
            account = account_for(self.data, preferred=None)
            program = binaries_for(account).program("pg_dump")
            with (self.outside / name).open("wb") as file:
                subprocess.run([program, "--dbname", server.start().admin], stdout=file, check=True)

    def files(self) -> list[Path]:
        """Every file of the bank, of its database, of the second places, and the dumps."""
        return [
            path for top in (self.home, self.outside) for path in top.rglob("*") if path.is_file()
        ]


@pytest.fixture
def disk():
    with tempfile.TemporaryDirectory(prefix="scudo-erasure-") as folder:
        # PostgreSQL's own user has to reach its folder.
        Path(folder).chmod(0o711)
        made = Disk(Path(folder) / "home", Path(folder) / "outside")
        made.outside.mkdir(mode=0o711)
        yield made


def written(value: bytes) -> set[bytes]:
    """A value in the forms that programs write bytes in."""
    text = value.decode(errors="ignore")
    return {
        value,
        text.encode("utf-16-le") if text else value,
        value.hex().encode(),
        value.hex().upper().encode(),
        base64.b64encode(value).rstrip(b"="),
    }


def finds(paths: list[Path], values: dict[str, bytes], said: bytes) -> list[tuple[str, str]]:
    """Which values are where, in any form; logs count too."""
    wanted = [(name, form) for name, value in values.items() for form in written(value)]
    places = [(str(path), path.read_bytes()) for path in paths] + [("log", said)]
    return [(place, name) for place, content in places for name, form in wanted if form in content]


def person_key(database: Database, home: Path, person: int) -> tuple[bytes, bytes]:
    """The key of a person as it is wrapped, and in clear as whoever has the root can have it."""
    root_secret = (home / "vault" / "development.root").read_bytes()
    with psycopg.connect(database.dsn.admin) as admin:
        (root,) = admin.execute("SELECT id FROM vault.root WHERE state = 'active'").fetchone()
        key, unit, wrapped = admin.execute(
            "SELECT id, unit, wrapped FROM vault.person_key WHERE person = %s", (person,)
        ).fetchone()
        (wrapped_unit,) = admin.execute(
            "SELECT wrapped FROM vault.unit_key WHERE id = %s", (unit,)
        ).fetchone()
    place = Place("unit_key", "wrapped", 0, unit)
    unit_key = Key(unit, open_sealed(Key(root, root_secret), place, wrapped_unit))
    place = Place("person_key", "wrapped", person, key)
    return wrapped, open_sealed(unit_key, place, wrapped)


def plant(bank, teller) -> str:
    """Have every value pass through the bank: person, secret, card, payments, reads."""
    customer = teller.customer()
    account = teller.account(customer, funds=100_000)
    path = f"/v1/customers/{customer}/person"
    assert teller.http.put(path, json=PERSONAL).status_code == 200
    body = {"number": CARD, "expiry": "2030-01", "customer_id": customer}
    assert teller.post("/v1/cards", body).status_code == 201
    with bank.asked() as client:
        number = ids.parse(Prefix.CUSTOMER, customer)
        client.ask(vault.PutPerson(number, SECRET))
        client.ask(vault.LinkToken(number, "device", SENT["device"]))
    for _ in range(3):
        order = {"account_id": account, "amount_minor": 100, "currency": "EUR", **SENT}
        assert teller.post("/v1/card-authorisations", order).status_code == 201
    shown = teller.http.post(f"{path}/read", json={"fields": list(PERSONAL), **CARE})
    assert shown.json()["fields"] == PERSONAL
    body = {"field": "email", "value": PERSONAL["email"], **CARE}
    assert teller.http.post("/v1/persons/search", json=body).json()["customer_ids"] == [customer]
    return customer


def erase(disk: Disk, customer: str) -> dict[str, int]:
    """Erase the person, see that they are gone, and have PostgreSQL tidy; what was destroyed."""
    path = f"/v1/customers/{customer}/person"
    with disk.served() as (bank, teller):
        erased = teller.http.delete(path, params={"reason": "request:8361"})
        gone = teller.http.post(f"{path}/read", json={"fields": ["email"], **CARE})
        body = {"field": "email", "value": PERSONAL["email"], **CARE}
        found = teller.http.post("/v1/persons/search", json=body)
        with psycopg.connect(bank.database.dsn.admin, autocommit=True) as admin:
            admin.execute("VACUUM FULL")
            admin.execute("CHECKPOINT")
    assert gone.json()["code"] == "vault_person_not_found"
    assert found.json() == {"customer_ids": []}
    destroyed: dict[str, int] = erased.json()["destroyed"]
    return destroyed


def verify(disk: Disk) -> None:
    """The books are right, and so is the evidence of them."""
    with disk.database() as database:
        evidence = EvidenceAudit(disk.home / "witness")
        with psycopg.connect(database.dsn.read, autocommit=True) as connection:
            verdict = verify_bank(connection, catalogue=CATALOGUE, gentle=False, evidence=evidence)
    assert verdict.ok, verdict.first_bad


def keys_kept(database: Database) -> int:
    """How many persons have a key."""
    with psycopg.connect(database.dsn.admin) as admin:
        return int(admin.execute("SELECT count(*) FROM vault.person_key").fetchone()[0])


def restore(disk: Disk, backup: Path, customer: str) -> None:
    """Put the backup in the place of the data; the person is forgotten before anybody asks."""
    shutil.rmtree(disk.data)
    subprocess.run(["cp", "-a", backup, disk.data], check=True)
    with disk.database() as database:
        assert keys_kept(database) == 1, "the backup has the person"
    path = f"/v1/customers/{customer}/person"
    with disk.served() as (bank, teller):
        assert keys_kept(bank.database) == 0
        gone = teller.http.post(f"{path}/read", json={"fields": ["email"], **CARE})
        again = teller.http.put(path, json=PERSONAL)
    assert gone.json()["code"] == "vault_person_not_found"
    assert again.json()["code"] == "vault_person_erased"


@pytest.mark.timeout(240)
def test_an_erased_person_is_on_no_disk_and_comes_back_from_no_backup(disk, capfd):
    """Values of every class are nowhere; books and proofs stand; an old backup forgets again."""
    with disk.served() as (bank, teller):
        customer = plant(bank, teller)
        number = ids.parse(Prefix.CUSTOMER, customer)
        wrapped, key = person_key(bank.database, disk.home, number)
        bank.bank.keep_snapshot()
        until(lambda: bank.bank.snapshots.position and not bank.bank.snapshots.is_writing())
    # The backup of the day before: all files of the database, cold.
    backup = disk.outside / "backup"
    subprocess.run(["cp", "-a", disk.data, backup], check=True)

    destroyed = erase(disk, customer)
    disk.dump("dump.sql")

    # Tokens of e-mail, phone and alias as typed and as compared, of document and device.
    kept = {
        "keys": 1,
        "fields": len(PERSONAL) + len(SECRET),
        "look_ups": 5,
        "links": 7,
        "cards": 1,
        "texts": 0,
    }
    assert destroyed == kept
    said = "".join(capfd.readouterr()).encode()
    values = {**PERSONAL, **SECRET, **SENT, "pan": CARD}
    planted = {name: value.encode() for name, value in values.items()}
    files = disk.files()
    assert finds(files, {**planted, "person key": key}, said) == []
    # The scan sees what it must: the log's files, its snapshot and witness, and the dump.
    for folder in (disk.data / "pg_wal", disk.home / "features", disk.home / "witness", backup):
        assert [path for path in files if path.is_relative_to(folder)], folder
    dump = {"reason": b"request:8361", "erasures": b"vault.erasure"}
    assert {name for _, name in finds([disk.outside / "dump.sql"], dump, b"")} == set(dump)
    # The wrapped key is in no table any more. It is in the write-ahead log of that day, and in
    # the backup: who has one of them and the root of that day opens it. See ARCHITECTURE.md.
    left = [Path(place) for place, _ in finds(files, {"wrapped": wrapped}, said)]
    assert [path for path in left if path.is_relative_to(backup)]
    assert not [path for path in left if path.is_relative_to(disk.data / "base")]
    assert disk.outside / "dump.sql" not in left

    verify(disk)
    restore(disk, backup, customer)
