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
            "SCUDO_ERASURES": "/mnt/elsewhere",
            "SCUDO_WITNESS": "/mnt/notary",
            "SCUDO_ORIGINS": "https://bank.example, https://ops.bank.example",
            "SCUDO_PASSKEY_DOMAIN": "bank.example",
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
            erasures=Path("/mnt/elsewhere"),
            witness=Path("/mnt/notary"),
            origins=("https://bank.example", "https://ops.bank.example"),
            passkey_domain="bank.example",
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
