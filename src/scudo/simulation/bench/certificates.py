"""A CA of a benchmark's own, and what it issues: the server's certificate and a partner's."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from scudo.bootstrap import now_us
from scudo.kernel import instant

_LIFE: Final = timedelta(days=1)


class Authority:
    """Issues certificates of P-256 for a day, into one folder.

    Attributes:
        folder: with `ca/own.pem`, and `NAME.pem` and `NAME.key` of each that was issued.
    """

    def __init__(self, folder: Path) -> None:
        """Make the CA."""
        self.folder = folder
        self._name = _name("scudo bench CA")
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certify(self._name, self._key.public_key(), is_authority=True)
        (folder / "ca").mkdir(parents=True)
        self.trusted = folder / "ca" / "own.pem"
        self.trusted.write_bytes(certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str, *, address: str | None = None) -> bytes:
        """Write a certificate and its key; gives the certificate in DER."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certify(_name(name), key.public_key(), address=address)
        written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.folder / f"{name}.key").write_bytes(written)
        (self.folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        return certificate.public_bytes(Encoding.DER)

    def _certify(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        *,
        is_authority: bool = False,
        address: str | None = None,
    ) -> x509.Certificate:
        now = instant(now_us())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _LIFE)
            .not_valid_after(now + _LIFE)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(_usage(is_authority=is_authority), critical=True)
        )
        if address is not None:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
