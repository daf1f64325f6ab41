"""A bank whose database is reached over mutual TLS 1.3: writer, look-ups, reads and consumers.

PostgreSQL from the wheel is built without TLS, so what stands before it here ends TLS as
PostgreSQL would: it answers the request for TLS, demands a certificate, and hands the bytes on.
What is shown is our side, which is libpq's: every connection of the bank is one of these.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tests.history.banks import Borrowed

from scudo.bootstrap import open_bank
from scudo.fabric.postgres import Dsn
from scudo.identity import CustomerKind, RegisterCustomer

#: PostgreSQL's frontend protocol: SSLRequest, of 8 bytes.
SSL_REQUEST = struct.pack(">ii", 8, 80877103)


@dataclass
class TlsBefore:
    """Stands before a database's socket, and ends mutual TLS 1.3."""

    socket: Path
    context: ssl.SSLContext
    port: int = 0
    #: Version of TLS and subject of the client, of each connection.
    seen: list[tuple[str, Any]] = field(default_factory=list)
    refused: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, OSError):
            if await reader.readexactly(8) != SSL_REQUEST:
                self.refused += 1
                writer.close()
                return
            writer.write(b"S")
            await writer.drain()
            try:
                await writer.start_tls(self.context)
            except (ssl.SSLError, ConnectionError):
                self.refused += 1
                return
            tls = writer.get_extra_info("ssl_object")
            self.seen.append((tls.version(), tls.getpeercert()["subject"]))
            back = await asyncio.open_unix_connection(str(self.socket))
            await asyncio.gather(_copy(reader, back[1]), _copy(back[0], writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, OSError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError, OSError, RuntimeError):
        writer.close()


@dataclass
class Certificates:
    """Files by which libpq proves itself and believes the server."""

    folder: Path
    authority: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        leaf = self.authority.issue_cert("scudo.example", common_name="scudo")
        self.authority.cert_pem.write_to_path(self.folder / "root.pem")
        leaf.private_key_pem.write_to_path(self.folder / "client.key")
        (self.folder / "client.key").chmod(0o600)
        leaf.cert_chain_pems[0].write_to_path(self.folder / "client.pem")

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        self.authority.configure_trust(context)
        self.authority.issue_cert("127.0.0.1").configure_cert(context)
        return context

    def over_tls(self, dsn: str, port: int, **changed: str) -> str:
        """The same connection over TLS, proven by both sides."""
        named = {name: value for name, value in conninfo_to_dict(dsn).items() if name != "host"}
        terms = {
            "host": "127.0.0.1",
            "port": str(port),
            "sslmode": "verify-full",
            "sslrootcert": str(self.folder / "root.pem"),
            "sslcert": str(self.folder / "client.pem"),
            "sslkey": str(self.folder / "client.key"),
            "ssl_min_protocol_version": "TLSv1.3",
            "gssencmode": "disable",
        }
        return make_conninfo(**{**named, **terms, **changed})

    def everyone(self, dsn: Dsn, port: int) -> Dsn:
        return Dsn(
            *(
                self.over_tls(own, port)
                for own in (dsn.admin, dsn.owner, dsn.app, dsn.read, dsn.vault)
            )
        )


@contextlib.asynccontextmanager
async def before(dsn: Dsn, certificates: Certificates) -> AsyncIterator[TlsBefore]:
    """Serve TLS before a database."""
    named = conninfo_to_dict(dsn.app)
    socket = Path(str(named["host"])) / f".s.PGSQL.{named['port']}"
    tls = TlsBefore(socket, certificates.server())
    server = await asyncio.start_server(tls.serve, "127.0.0.1", 0)
    tls.port = server.sockets[0].getsockname()[1]
    try:
        yield tls
    finally:
        server.close()


@pytest.fixture
def certificates(tmp_path):
    """A CA for a database and its clients."""
    return Certificates(tmp_path)


class TestADatabaseOverMutualTls:
    def test_serves_every_connection_of_a_bank(self, database, certificates, tmp_path):
        """Commits of one row and of many, look-ups, reads and consumers go over TLS 1.3."""

        async def run() -> TlsBefore:
            async with before(database.dsn, certificates) as tls:
                secure = Borrowed(certificates.everyone(database.dsn, tls.port))
                async with open_bank(secure, home=tmp_path / "home", description="tls") as bank:
                    one = await bank.submit(
                        RegisterCustomer("one", CustomerKind.PERSON, 756), client=1, key="one"
                    )
                    # Many at once: rows beyond what one round trip takes go by COPY.
                    many = await asyncio.gather(
                        *(
                            bank.queue(
                                RegisterCustomer(f"{n}" * 8, CustomerKind.PERSON, 756),
                                client=1,
                                key=f"{n}",
                            )
                            for n in range(1_000)
                        )
                    )
                    again = await bank.submit(
                        RegisterCustomer("one", CustomerKind.PERSON, 756), client=1, key="one"
                    )
                    async with bank.reads() as connection:
                        assert connection.pgconn.ssl_in_use
                    until = asyncio.get_running_loop().time() + 20
                    while min(bank.consumers.positions.values()) < bank.conveyor.head.position:
                        assert asyncio.get_running_loop().time() < until, "consumers stand still"
                        await asyncio.sleep(0.05)
                    assert {answer.status for answer in (one, *many)} == {201}
                    assert again == one
                return tls

        # psycopg's connections are made by threads too, so the loop must not be blocked by them.
        tls = asyncio.run(run())

        assert {version for version, _ in tls.seen} == {"TLSv1.3"}
        assert {dict(part[0] for part in subject)["commonName"] for _, subject in tls.seen} == {
            "scudo"
        }
        assert len(tls.seen) >= 5
        assert tls.refused == 0

    @pytest.mark.parametrize("wrong", ["authority", "name", "certificate", "plain"])
    def test_is_not_reached_by_half_of_it(self, database, certificates, tmp_path, wrong):
        """A server of another CA or name is not believed, a client without proof not served."""
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        other = Certificates(stranger)
        changed = {
            "authority": {"sslrootcert": str(stranger / "root.pem")},
            "name": {"host": "localhost"},
            "certificate": {
                "sslcert": str(stranger / "absent"),
                "sslkey": str(stranger / "absent"),
            },
            "plain": {"sslmode": "disable"},
        }[wrong]
        assert other.folder == stranger

        async def run() -> None:
            async with before(database.dsn, certificates) as tls:
                dsn = certificates.over_tls(database.dsn.app, tls.port, **changed)
                with pytest.raises(psycopg.OperationalError):
                    await psycopg.AsyncConnection.connect(dsn, connect_timeout=10)

        asyncio.run(run())
