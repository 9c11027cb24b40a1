"""Certificates for tests of servers."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pki:
    """A certificate for loopback, its key, and the context of a client that trusts it."""

    chain: Path
    key: Path

    def client(self) -> ssl.SSLContext:
        """A client's context that trusts exactly this certificate."""
        return ssl.create_default_context(cafile=str(self.chain))


def make_certificate(folder: Path, name: str, password: bytes | None = None) -> Pki:
    """A self-signed certificate for 127.0.0.1, in files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pki = Pki(folder / f"{name}.pem", folder / f"{name}.key")
    pki.chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    pki.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    return pki


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """A certificate for loopback."""
    return make_certificate(tmp_path, "server")


@pytest.fixture
def new_pki(tmp_path: Path) -> Callable[..., Pki]:
    """Makes further certificates."""
    return lambda name, password=None: make_certificate(tmp_path, name, password)
