"""What the installation is told by its environment; read once, at the edge.

SCUDO_HOME           folder of the bank, with all of its state
                     (`~/.local/share/scudo`; for root `/var/lib/scudo`)
SCUDO_DATABASE_URL   your PostgreSQL instead of the embedded one
SCUDO_PORT           port of the HTTP interface; 0 takes a free one (8420)
SCUDO_WITNESS        folder that remembers every signed head of the log, best on a machine of
                     somebody else (`witness` in SCUDO_HOME)
SCUDO_POSTGRES_USER  user that root runs the embedded PostgreSQL as (`postgres`, else `nobody`)
SCUDO_VAULT_USER     user that root runs the vault as (`scudo-vault`, else `nobody` or `daemon`)
SCUDO_VAULT_PEERS    further users who may ask the vault, by name, with commas between
SCUDO_OWNER_DATABASE_URL  how `scudo init` reaches your PostgreSQL, as a login that may make roles;
                     then the login of SCUDO_DATABASE_URL needs to make nothing, and the vault's
                     data is closed to it (SCUDO_DATABASE_URL)
SCUDO_VAULT_DATABASE_URL  how the vault reaches your PostgreSQL, as a login of its own in the role
                     scudo_vault (SCUDO_DATABASE_URL, taking that role)
SCUDO_VAULT_SEALED_BY  URI (RFC 7512) of the PKCS#11 token that seals the vault's operational
                     keys on the disk, with a `pin-source` that the vault's user can read
SCUDO_PKCS11_MODULE  library of the PKCS#11 tokens that the vault may use
SCUDO_PKCS11_VARIABLES  environment variables that the library reads, by name, with commas
                     between; the vault's process is given these and no others
SCUDO_VAULT          where the vault is if not on this machine, as tls://host:port
SCUDO_VAULT_LISTEN   where the vault waits for callers of the network too, as host:port
SCUDO_VAULT_CERT     chain of certificates for the hop between bank and vault, PEM: the bank's own
                     with SCUDO_VAULT, the vault's own with SCUDO_VAULT_LISTEN
SCUDO_VAULT_KEY      its private key, PEM
SCUDO_VAULT_CA       the CAs of that hop, PEM: a file, or a folder of files
SCUDO_VAULT_CALLERS  list of who may ask the vault over the network, TOML; these four are read
                     again when they change
SCUDO_ERASURES       folder for the list of erased persons, outside the database and its backups
                     (`vault/erasures` in the home)
SCUDO_AUDIT_HOURS    within how many hours the auditor recounts all that is stored (24)
SCUDO_ORIGINS        origins of the pages that passkeys may be used on, with commas between
                     (`http://localhost:8420`)
SCUDO_SMTP           mail server as host:port; without it mails are files in `mail` in the home
SCUDO_NETWORKS       file of networks and their countries, lines like `192.0.2.0/24,CH`; read again
                     when it changes; without it nobody knows countries
SCUDO_PASSKEY_DOMAIN domain that passkeys are made for; they answer to no other, so it never
                     changes (the host of the first origin)
SCUDO_ENVIRONMENT    `sandbox` or `production`: credentials of one fail in the other (sandbox)
SCUDO_ISSUER         what partners call this bank in the assertions that they sign
                     (`urn:scudo:` and the environment)
SCUDO_TLS_CERT       chain of certificates to serve HTTPS with, PEM; read again when it changes
SCUDO_TLS_KEY        its private key, PEM; read again when it changes
SCUDO_CLIENT_CA      folder of the CAs, PEM, whose certificates clients may connect with
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast, get_args
from urllib.parse import urlsplit

from scudo.kernel import Refusal

PORT_DEFAULT: Final = 8420
PORT_MAX: Final = 65535
HOME_OF_ROOT: Final = Path("/var/lib/scudo")
AUDIT_HOURS_DEFAULT: Final = 24
AUDIT_HOURS_MAX: Final = 24 * 366
ORIGIN_DEFAULT: Final = f"http://localhost:{PORT_DEFAULT}"
EnvironmentName = Literal["sandbox", "production"]
_URL_SCHEMES: Final = ("postgresql://", "postgres://")


class SettingInvalid(Refusal):
    """An environment variable of Scudo has a value that it cannot use."""

    code = "setting_invalid"
    next_step = "Correct or unset the variable and start again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one installation is told from outside."""

    home: Path
    database_url: str | None = None
    owner_database_url: str | None = None
    vault_database_url: str | None = None
    port: int = PORT_DEFAULT
    postgres_user: str | None = None
    vault_user: str | None = None
    vault_peers: tuple[str, ...] = ()
    vault_sealed_by: str | None = None
    pkcs11_module: Path | None = None
    pkcs11_variables: tuple[str, ...] = ()
    vault_at: tuple[str, int] | None = None
    vault_listen: tuple[str, int] | None = None
    vault_cert: Path | None = None
    vault_key: Path | None = None
    vault_ca: Path | None = None
    vault_callers: Path | None = None
    erasures: Path | None = None
    witness: Path | None = None
    audit_hours: int = AUDIT_HOURS_DEFAULT
    origins: tuple[str, ...] = (ORIGIN_DEFAULT,)
    passkey_domain: str = "localhost"
    environment: EnvironmentName = "sandbox"
    issuer: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    mail_server: str | None = None
    networks: Path | None = None

    @property
    def issuer_name(self) -> str:
        """What partners call this bank; it tells environments apart unless it is named."""
        return self.issuer or f"urn:scudo:{self.environment}"

    @property
    def witness_folder(self) -> Path:
        """Folder of the witness; within the home unless another is named."""
        return self.witness or self.home / "witness"


def settings_from(environment: Mapping[str, str], *, is_root: bool) -> Settings:
    """Read the settings; an empty variable counts as unset.

    Raises:
        SettingInvalid: a value cannot be used; the message names the variable.
    """
    url = environment.get("SCUDO_DATABASE_URL") or None
    if url is not None and not url.startswith(_URL_SCHEMES):
        message = "SCUDO_DATABASE_URL does not begin with postgresql://."
        raise SettingInvalid(message)
    module = environment.get("SCUDO_PKCS11_MODULE")
    if environment.get("SCUDO_OWNER_DATABASE_URL") and url is None:
        message = "SCUDO_OWNER_DATABASE_URL is of use only with SCUDO_DATABASE_URL."
        raise SettingInvalid(message)
    erasures = environment.get("SCUDO_ERASURES")
    witness, networks = environment.get("SCUDO_WITNESS"), environment.get("SCUDO_NETWORKS")
    origins = _origins_from(environment.get("SCUDO_ORIGINS") or ORIGIN_DEFAULT)
    kind = environment.get("SCUDO_ENVIRONMENT") or "sandbox"
    if kind not in get_args(EnvironmentName):
        message = f"SCUDO_ENVIRONMENT is {kind!r}, which is neither sandbox nor production."
        raise SettingInvalid(message)
    tls, hop = _tls_from(environment), _hop_from(environment)
    return Settings(
        home=_home_from(environment, is_root=is_root),
        database_url=url,
        owner_database_url=environment.get("SCUDO_OWNER_DATABASE_URL") or None,
        vault_database_url=environment.get("SCUDO_VAULT_DATABASE_URL") or None,
        port=_port_from(environment.get("SCUDO_PORT") or str(PORT_DEFAULT)),
        postgres_user=environment.get("SCUDO_POSTGRES_USER") or None,
        vault_user=environment.get("SCUDO_VAULT_USER") or None,
        vault_peers=_names_from(environment.get("SCUDO_VAULT_PEERS")),
        vault_sealed_by=environment.get("SCUDO_VAULT_SEALED_BY") or None,
        pkcs11_module=Path(module).expanduser().absolute() if module else None,
        pkcs11_variables=_names_from(environment.get("SCUDO_PKCS11_VARIABLES")),
        erasures=Path(erasures).expanduser().absolute() if erasures else None,
        witness=Path(witness).expanduser().absolute() if witness else None,
        audit_hours=_hours_from(environment.get("SCUDO_AUDIT_HOURS") or str(AUDIT_HOURS_DEFAULT)),
        environment=cast("EnvironmentName", kind),
        issuer=environment.get("SCUDO_ISSUER") or None,
        vault_at=_address_from(environment, "SCUDO_VAULT"),
        vault_listen=_address_from(environment, "SCUDO_VAULT_LISTEN"),
        vault_cert=hop.get("CERT"),
        vault_key=hop.get("KEY"),
        vault_ca=hop.get("CA"),
        vault_callers=hop.get("CALLERS"),
        tls_cert=tls.get("tls_cert"),
        tls_key=tls.get("tls_key"),
        client_ca=tls.get("client_ca"),
        origins=origins,
        passkey_domain=_domain_from(environment.get("SCUDO_PASSKEY_DOMAIN"), origins),
        mail_server=environment.get("SCUDO_SMTP") or None,
        networks=Path(networks).expanduser().absolute() if networks else None,
    )


def _names_from(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _origins_from(text: str) -> tuple[str, ...]:
    """Read origins; browsers use passkeys on https only, and on the machine itself.

    Raises:
        SettingInvalid: if there is none, or one is no origin.
    """
    origins = tuple(origin.strip() for origin in text.split(",") if origin.strip())
    for origin in origins:
        parts = urlsplit(origin)
        is_safe = parts.scheme == "https" or (parts.scheme, parts.hostname) == ("http", "localhost")
        if not is_safe or origin != f"{parts.scheme}://{parts.netloc}" or "@" in origin:
            message = (
                f"SCUDO_ORIGINS holds {origin!r}, which is no origin like https://bank.example."
            )
            raise SettingInvalid(message)
    if not origins:
        message = "SCUDO_ORIGINS names no origin."
        raise SettingInvalid(message)
    return origins


def _domain_from(text: str | None, origins: tuple[str, ...]) -> str:
    """Read the domain of passkeys: every origin's host is it, or lies below it.

    Raises:
        SettingInvalid: if one is not.
    """
    hosts = [urlsplit(origin).hostname or "" for origin in origins]
    domain = text or hosts[0]
    for host in hosts:
        if host != domain and not host.endswith(f".{domain}"):
            message = (
                f"SCUDO_PASSKEY_DOMAIN is {domain!r}, and the origin of {host} is not below it."
            )
            raise SettingInvalid(message)
    return domain


def _tls_from(environment: Mapping[str, str]) -> dict[str, Path]:
    named = {
        name: environment.get(f"SCUDO_{name.upper()}")
        for name in ("tls_cert", "tls_key", "client_ca")
    }
    paths = {name: Path(text).expanduser().absolute() for name, text in named.items() if text}
    if ("tls_cert" in paths) != ("tls_key" in paths):
        message = "SCUDO_TLS_CERT and SCUDO_TLS_KEY are set together, or not at all."
        raise SettingInvalid(message)
    if "client_ca" in paths and "tls_cert" not in paths:
        message = "SCUDO_CLIENT_CA is of use only with SCUDO_TLS_CERT and SCUDO_TLS_KEY."
        raise SettingInvalid(message)
    return paths


def _hop_from(environment: Mapping[str, str]) -> dict[str, Path]:
    """Read the files of the hop between bank and vault.

    Raises:
        SettingInvalid: one is missing, or is of no use.
    """
    named = {
        name: environment.get(f"SCUDO_VAULT_{name}") for name in ("CERT", "KEY", "CA", "CALLERS")
    }
    paths = {name: Path(text).expanduser().absolute() for name, text in named.items() if text}
    here, there = environment.get("SCUDO_VAULT_LISTEN"), environment.get("SCUDO_VAULT")
    if here and there:
        message = "SCUDO_VAULT_LISTEN is for the vault's machine, SCUDO_VAULT for the bank's."
        raise SettingInvalid(message)
    needed = {"CERT", "KEY", "CA"} if here or there else set()
    needed |= {"CALLERS"} if here else set()
    for name in sorted(needed ^ paths.keys()):
        least = "SCUDO_VAULT_LISTEN" if name == "CALLERS" else "SCUDO_VAULT or SCUDO_VAULT_LISTEN"
        message = f"SCUDO_VAULT_{name} and {least} are set together, or not at all."
        raise SettingInvalid(message)
    return paths


def _address_from(environment: Mapping[str, str], name: str) -> tuple[str, int] | None:
    """Read an address: `tls://host:port` of a vault, or `host:port` to wait at.

    Raises:
        SettingInvalid: it is none.
    """
    text = environment.get(name)
    if not text:
        return None
    scheme = "tls://" if name == "SCUDO_VAULT" else ""
    host, _, port = text.removeprefix(scheme).rpartition(":")
    is_port = port.isascii() and port.isdecimal() and int(port) <= PORT_MAX
    if not text.startswith(scheme) or not host or not is_port or set(host) & set("/@? "):
        message = f"{name} is {text!r}, which is no address like {scheme}vault.example:8421."
        raise SettingInvalid(message)
    return host.removeprefix("[").removesuffix("]"), int(port)


def _home_from(environment: Mapping[str, str], *, is_root: bool) -> Path:
    if named := environment.get("SCUDO_HOME"):
        return Path(named).expanduser().absolute()
    if is_root:
        return HOME_OF_ROOT
    shared = Path(environment.get("XDG_DATA_HOME") or "")
    # The XDG specification tells us to ignore a relative path.
    if shared.is_absolute():
        return shared / "scudo"
    if not environment.get("HOME"):
        message = "Neither SCUDO_HOME nor HOME says where the bank's folder is."
        raise SettingInvalid(message)
    return Path(environment["HOME"]) / ".local" / "share" / "scudo"


def _port_from(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > PORT_MAX:
        message = f"SCUDO_PORT is {text!r}, which is no port from 0 to {PORT_MAX}."
        raise SettingInvalid(message)
    return int(text)


def _hours_from(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= AUDIT_HOURS_MAX:
        message = f"SCUDO_AUDIT_HOURS is {text!r}, which is no number from 1 to {AUDIT_HOURS_MAX}."
        raise SettingInvalid(message)
    return int(text)
