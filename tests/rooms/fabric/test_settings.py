"""Settings: read from the environment once, refused by name."""

from pathlib import Path

import pytest

from scudo.fabric.settings import PORT_DEFAULT, SettingInvalid, Settings, settings_from


class TestSettingsFrom:
    @pytest.mark.parametrize(
        ("environment", "is_root", "home"),
        [
            ({"HOME": "/home/ada"}, False, "/home/ada/.local/share/scudo"),
            ({"HOME": "/home/ada", "XDG_DATA_HOME": "/data"}, False, "/data/scudo"),
            ({"HOME": "/home/ada", "XDG_DATA_HOME": "data"}, False, "/home/ada/.local/share/scudo"),
            ({"HOME": "/anywhere"}, True, "/var/lib/scudo"),
            ({"HOME": "/anywhere", "SCUDO_HOME": "/srv/bank"}, True, "/srv/bank"),
            ({"HOME": "/home/ada", "SCUDO_HOME": ""}, False, "/home/ada/.local/share/scudo"),
        ],
    )
    def test_finds_the_home(self, environment: dict[str, str], is_root: bool, home: str) -> None:
        """The bank's folder is the named one, else the user's, else root's own."""
        assert settings_from(environment, is_root=is_root).home == Path(home)

    def test_takes_every_variable(self) -> None:
        """Each variable that is set is taken as it stands."""
        environment = {
            "SCUDO_HOME": "/srv/bank",
            "SCUDO_DATABASE_URL": "postgresql://bank@db/bank",
            "SCUDO_PORT": "0",
            "SCUDO_POSTGRES_USER": "pg",
            "SCUDO_VAULT_USER": "keeper",
            "SCUDO_VAULT_PEERS": "bank, worker,",
            "SCUDO_VAULT_SEALED_BY": "pkcs11:token=bank?pin-source=/run/pin",
            "SCUDO_PKCS11_MODULE": "/usr/lib/module.so",
            "SCUDO_PKCS11_VARIABLES": "SOFTHSM2_CONF,",
            "SCUDO_VAULT": "tls://vault.example:8421",
            "SCUDO_VAULT_CERT": "/tls/bank.pem",
            "SCUDO_VAULT_KEY": "/tls/bank.key",
            "SCUDO_VAULT_CA": "/tls/ca",
            "SCUDO_OWNER_DATABASE_URL": "postgresql://maker@db/bank",
            "SCUDO_VAULT_DATABASE_URL": "postgresql://vault@db/bank",
            "SCUDO_ERASURES": "/mnt/elsewhere",
            "SCUDO_WITNESS": "/mnt/notary",
            "SCUDO_ORIGINS": "https://bank.example, https://ops.bank.example",
            "SCUDO_PASSKEY_DOMAIN": "bank.example",
            "SCUDO_NETWORKS": "/srv/networks.csv",
        }

        assert settings_from(environment, is_root=True) == Settings(
            home=Path("/srv/bank"),
            database_url="postgresql://bank@db/bank",
            port=0,
            postgres_user="pg",
            vault_user="keeper",
            vault_peers=("bank", "worker"),
            vault_sealed_by="pkcs11:token=bank?pin-source=/run/pin",
            pkcs11_module=Path("/usr/lib/module.so"),
            pkcs11_variables=("SOFTHSM2_CONF",),
            vault_at=("vault.example", 8421),
            vault_cert=Path("/tls/bank.pem"),
            vault_key=Path("/tls/bank.key"),
            vault_ca=Path("/tls/ca"),
            owner_database_url="postgresql://maker@db/bank",
            vault_database_url="postgresql://vault@db/bank",
            erasures=Path("/mnt/elsewhere"),
            witness=Path("/mnt/notary"),
            origins=("https://bank.example", "https://ops.bank.example"),
            passkey_domain="bank.example",
            networks=Path("/srv/networks.csv"),
        )

    def test_has_defaults(self) -> None:
        """Without variables the bank is embedded and has its usual port."""
        settings = settings_from({}, is_root=True)

        assert settings.witness_folder == settings.home / "witness"
        assert (settings.database_url, settings.port) == (None, PORT_DEFAULT)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SCUDO_PORT", "-1"),
            ("SCUDO_PORT", "65536"),
            ("SCUDO_PORT", "http"),
            ("SCUDO_PORT", "٣"),
            ("SCUDO_DATABASE_URL", "mysql://bank"),
            ("SCUDO_ORIGINS", "http://bank.example"),
            ("SCUDO_ORIGINS", "https://bank.example/path"),
            ("SCUDO_ORIGINS", "https://me@bank.example"),
            ("SCUDO_ORIGINS", ","),
            ("SCUDO_PASSKEY_DOMAIN", "bank.example"),
        ],
    )
    def test_refuses_what_it_cannot_use(self, name: str, value: str) -> None:
        """A value that cannot be used is refused with the name of its variable."""
        with pytest.raises(SettingInvalid, match=name):
            settings_from({name: value}, is_root=True)

    def test_asks_for_a_home(self) -> None:
        """A user without a home has to name the bank's folder."""
        with pytest.raises(SettingInvalid, match="SCUDO_HOME"):
            settings_from({}, is_root=False)


FILES = {f"SCUDO_VAULT_{name}": f"/tls/{name}" for name in ("CERT", "KEY", "CA")}
LIST = {"SCUDO_VAULT_CALLERS": "/tls/callers.toml"}


class TestTheHop:
    @pytest.mark.parametrize(
        ("text", "address"),
        [("0.0.0.0:8421", ("0.0.0.0", 8421)), ("[::1]:0", ("::1", 0)), ("vault:1", ("vault", 1))],
    )
    def test_is_waited_for_at_an_address(self, text: str, address: tuple[str, int]) -> None:
        """Host and port, of either version of IP."""
        settings = settings_from({"SCUDO_VAULT_LISTEN": text, **FILES, **LIST}, is_root=True)

        assert settings.vault_listen == address
        assert settings.vault_callers == Path("/tls/callers.toml")

    @pytest.mark.parametrize(
        ("environment", "name"),
        [
            ({"SCUDO_VAULT": "vault.example:8421", **FILES}, "SCUDO_VAULT "),
            ({"SCUDO_VAULT": "https://vault.example:8421", **FILES}, "SCUDO_VAULT "),
            ({"SCUDO_VAULT": "tls://vault.example", **FILES}, "SCUDO_VAULT "),
            ({"SCUDO_VAULT": "tls://vault.example:99999", **FILES}, "SCUDO_VAULT "),
            ({"SCUDO_VAULT": "tls://me@vault.example:1", **FILES}, "SCUDO_VAULT "),
            ({"SCUDO_VAULT": "tls://vault.example:1"}, "SCUDO_VAULT_CA"),
            ({"SCUDO_VAULT": "tls://vault.example:1", **FILES, **LIST}, "SCUDO_VAULT_CALLERS"),
            ({"SCUDO_VAULT_LISTEN": "0.0.0.0:1", **FILES}, "SCUDO_VAULT_CALLERS"),
            ({"SCUDO_VAULT_LISTEN": "8421", **FILES, **LIST}, "SCUDO_VAULT_LISTEN"),
            ({"SCUDO_VAULT_KEY": "/tls/KEY"}, "SCUDO_VAULT_KEY"),
            ({"SCUDO_VAULT": "tls://v:1", "SCUDO_VAULT_LISTEN": "v:1", **FILES}, "SCUDO_VAULT"),
            ({"SCUDO_OWNER_DATABASE_URL": "postgresql://x"}, "SCUDO_OWNER_DATABASE_URL"),
        ],
    )
    def test_is_all_or_nothing(self, environment: dict[str, str], name: str) -> None:
        """Half of what a hop needs, and what is no address, is refused by name."""
        with pytest.raises(SettingInvalid, match=name):
            settings_from({"SCUDO_HOME": "/bank", **environment}, is_root=True)
