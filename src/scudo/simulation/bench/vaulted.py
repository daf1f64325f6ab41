"""Measures of the vault, over its socket, from another process than its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

from scudo import vault
from scudo.fabric import postgres
from scudo.simulation.bench.stage import SEED, Figures, Report, Terms, home, settings_of

_PERSONS: Final = 10_000
_READS_PER_SECOND: Final = 2_000
_WHY: Final = vault.Why("screening", "bench", "bench")


def vault_read(terms: Terms, report: Report) -> Figures:
    """One field of one of 10,000 persons, warm: a caller that waits for each answer."""
    with home() as folder, postgres.EmbeddedServer(folder):
        with _served(folder) as socket, vault.VaultClient(socket) as client:
            figures = _read(client, terms, report)
        report(f"   {settings_of(folder)}")
    return figures


@contextmanager
def _served(folder: Path) -> Iterator[Path]:
    """A bank's vault in development mode, served by another process; gives its socket."""
    command = str(Path(sys.executable).with_name("scudo"))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SCUDO_")
    }
    environment["SCUDO_HOME"] = str(folder)
    for made in (["init"], ["vault", "init", "--development"]):
        subprocess.run([command, *made], env=environment, check=True, capture_output=True)
    with subprocess.Popen(
        [command, "vault", "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None, "its output is a pipe"
            yield Path(process.stdout.readline().strip())
        finally:
            process.terminate()


def _read(client: vault.VaultClient, terms: Terms, report: Report) -> Figures:
    report(f"   {_PERSONS:,} persons, each with an e-mail and two names")
    for person in range(1, _PERSONS + 1):
        fields = {"given_name": "Ada", "family_name": "Lovelace", "email": f"a{person}@b.example"}
        client.ask(vault.PutPerson(person, fields))
    order = [*range(1, _PERSONS + 1)]
    random = Random(SEED)
    random.shuffle(order)
    for person in order:
        _ask(client, person)
    count = terms.seconds * _READS_PER_SECOND
    taken_us = sorted(_ask(client, random.randrange(_PERSONS) + 1) for _ in range(count))
    status = client.ask(vault.Status())
    report(f"   {count:,} reads one after the other, {status.cached_keys:,} keys in memory")
    return {
        "vault_read": {
            "p50_us": round(taken_us[count // 2]),
            "p99_us": round(taken_us[count * 99 // 100]),
            "p999_us": round(taken_us[count * 999 // 1_000]),
            "rate": round(count / (sum(taken_us) / 1_000_000)),
        }
    }


def _ask(client: vault.VaultClient, person: int) -> float:
    """Read a person's e-mail; gives how many microseconds it took."""
    began = time.perf_counter_ns()
    found = client.ask(vault.ReadFields(person, ("email",), _WHY))
    taken = (time.perf_counter_ns() - began) / 1_000
    assert found.values == {"email": f"a{person}@b.example"}, "another person's field"
    return taken
