"""What the tests of simulation and replay share: a bank to use, a command line, small files."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import duckdb
import pytest
from psycopg.conninfo import conninfo_to_dict

SCUDO = str(Path(sys.executable).parent / "scudo")
HANDBOOK = (
    Path(__file__).resolve().parents[3] / "shared" / "data" / "handbook" / "transactions.parquet"
)
COLUMNS = {
    "transaction_id": "INTEGER",
    "tx_datetime": "TIMESTAMP",
    "customer_id": "INTEGER",
    "terminal_id": "INTEGER",
    "tx_amount_minor": "INTEGER",
    "tx_fraud": "TINYINT",
    "tx_fraud_scenario": "TINYINT",
}


@dataclass(frozen=True, slots=True)
class Lent:
    """A database of the run's server as `open_bank` wants a server."""

    dsn: Any

    def start(self) -> Any:
        return self.dsn

    def stop(self) -> bool:
        return False


@pytest.fixture
def lent(database) -> Lent:
    return Lent(database.dsn)


def environment_of(database: Any, home: Path) -> dict[str, str]:
    """The environment of a command line that uses a database of the run's server."""
    parts = conninfo_to_dict(database.dsn.admin)
    url = (
        f"postgresql://{parts['user']}@/{parts['dbname']}"
        f"?host={quote(str(parts['host']), safe='')}&port={parts['port']}"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCUDO_")}
    return {
        **kept,
        "SCUDO_HOME": str(home),
        "SCUDO_DATABASE_URL": url,
        "SCUDO_VAULT_DATABASE_URL": database.dsn.vault,
        "SCUDO_PORT": "0",
    }


@pytest.fixture
def command_on(tmp_path) -> Callable[..., Callable[..., subprocess.CompletedProcess[str]]]:
    """Make the command line of a database; all of them share one folder of the bank."""

    def on(database: Any) -> Callable[..., subprocess.CompletedProcess[str]]:
        environment = environment_of(database, tmp_path / "home")

        def run(*arguments: object) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [SCUDO, *map(str, arguments)],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=100,
            )

        return run

    return on


@pytest.fixture
def scudo(command_on, database) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line on this test's database, to its end."""
    return command_on(database)


@pytest.fixture
def start(database, tmp_path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command line and let it run; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [SCUDO, *map(str, arguments)],
            env=environment_of(database, tmp_path / "home"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def only_object() -> Callable[[subprocess.CompletedProcess[str]], dict[str, Any]]:
    """Read the one JSON object that a command printed, and nothing beside it."""

    def read(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
        assert done.stdout.count("\n") == 1, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return read


@pytest.fixture
def transactions() -> Callable[..., list[dict[str, Any]]]:
    """Make rows of a small file."""
    return make_transactions


@pytest.fixture
def write_parquet(tmp_path) -> Callable[..., Path]:
    """Write rows to a file of this test; columns may be left out or of other types."""

    def write(
        name: str,
        rows: list[dict[str, Any]],
        *,
        without: str | None = None,
        types: dict[str, str] | None = None,
    ) -> Path:
        columns = {k: v for k, v in {**COLUMNS, **(types or {})}.items() if k != without}
        return save(tmp_path / name, rows, columns)

    return write


def make_transactions(count: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Rows of a small file: some of no amount, some large enough to be asked about."""
    random = Random(seed)
    rows, second = [], 0
    for number in range(count):
        second += random.randrange(20, 200)
        scenario = 1 if random.randrange(20) == 0 else 0
        rows.append(
            {
                "transaction_id": 1_000 + number,
                "tx_datetime": f"2020-02-{1 + second // 86_400:02} {_clock(second % 86_400)}",
                "customer_id": random.randrange(12),
                "terminal_id": random.randrange(20),
                "tx_amount_minor": 30_000 if scenario else random.randrange(1_000, 6_000),
                "tx_fraud": 1 if scenario else 0,
                "tx_fraud_scenario": scenario,
            }
        )
    rows[7]["tx_amount_minor"] = 0
    return rows


def _clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def save(path: Path, rows: list[dict[str, Any]], columns: dict[str, str]) -> Path:
    connection = duckdb.connect(config={"threads": 1})
    chosen = ", ".join(
        f"CAST(unnest(${name}) AS {kind}) AS {name}" for name, kind in columns.items()
    )
    values = {name: [row[name] for row in rows] for name in columns}
    connection.execute(f"CREATE TABLE t AS SELECT {chosen}", values)
    connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return path


@pytest.fixture
def file(write_parquet) -> Path:
    """A file of 300 transactions."""
    found: Path = write_parquet("day.parquet", make_transactions(300))
    return found


@pytest.fixture
def handbook() -> Path:
    """The recorded transactions that are shared beside the project, if they are there."""
    if not HANDBOOK.exists():
        pytest.skip(f"NOT TESTED AGAINST RECORDED TRANSACTIONS: {HANDBOOK} is absent")
    return HANDBOOK
