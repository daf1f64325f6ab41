"""A CA of a test's own, and files of certificates for processes that may be other users."""

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from scudo.bootstrap import now_us
from scudo.kernel import instant


def _now() -> datetime:
    return instant(now_us())


@dataclass
class Certificates:
    """A folder with a CA, and certificates by name: `bank.pem`, `bank.key`.

    Attributes:
        owner: user and group that keys belong to.
    """

    folder: Path
    owner: tuple[int, int] = field(default_factory=lambda: (os.geteuid(), os.getegid()))
    authority: trustme.CA = field(default_factory=trustme.CA)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        self.cas.mkdir()
        self.cas.chmod(0o755)
        self.trust(self.authority)

    @property
    def cas(self) -> Path:
        """The folder of CAs."""
        return self.folder / "ca"

    def trust(self, authority: trustme.CA, name: str = "own") -> Path:
        """Believe an authority from now on."""
        return self._put(self.cas / f"{name}.pem", authority.cert_pem.bytes(), 0o644)

    def certify(
        self,
        name: str,
        *identities: str,
        authority: trustme.CA | None = None,
        seconds: float = 86_400 * 30,
        owner: tuple[int, int] | None = None,
        common_name: str | None = None,
    ) -> trustme.LeafCert:
        """Give somebody a key and a certificate, in place of those they had."""
        leaf = (authority or self.authority).issue_cert(
            *identities,
            common_name=common_name,
            not_before=_now() - timedelta(days=400),
            not_after=_now() + timedelta(seconds=seconds),
        )
        self._put(self.folder / f"{name}.key", leaf.private_key_pem.bytes(), 0o600, owner)
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        self._put(self.folder / f"{name}.pem", chain, 0o644, owner)
        return leaf

    def certify_uri(self, name: str, uri: str) -> None:
        """Give somebody a key and a certificate whose only name is a URI."""
        issuer = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())
        signer = serialization.load_pem_private_key(self.authority.private_key_pem.bytes(), None)
        key = ec.generate_private_key(ec.SECP256R1())
        now = _now()
        known = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known),
                critical=False,
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(signer, hashes.SHA256())
        )
        written = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self._put(self.folder / f"{name}.key", written, 0o600)
        text = certificate.public_bytes(serialization.Encoding.PEM)
        self._put(self.folder / f"{name}.pem", text, 0o644)

    def files(self, name: str) -> dict[str, Path]:
        """Where somebody's files are."""
        return {"cert": self.folder / f"{name}.pem", "key": self.folder / f"{name}.key"}

    def _put(
        self, path: Path, content: bytes, mode: int, owner: tuple[int, int] | None = None
    ) -> Path:
        """Replace a file at once, as whoever renews certificates does."""
        fresh = path.with_name(f".{path.name}.fresh")
        fresh.write_bytes(content)
        fresh.chmod(mode)
        if os.geteuid() == 0:
            os.chown(fresh, *(owner or self.owner))
        fresh.rename(path)
        return path
