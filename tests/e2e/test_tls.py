"""HTTPS with certificates of one's own: boto3 is given the CA and nothing else."""

import datetime as dt
import ipaddress
import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import SSLError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.e2e


class Authority:
    """A certificate authority that lasts for a test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        certificate = self._builder(self.name, self.key.public_key())
        certificate = certificate.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = certificate.add_extension(usage, critical=True)
        self.file.write_bytes(self._signed(certificate))

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1 and its key, in files; the same name replaces them."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = self._builder(subject, key.public_key())
        certificate = certificate.add_extension(here, critical=False)
        certificate = certificate.add_extension(authority, critical=False)
        certificate_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate_file.write_bytes(self._signed(certificate))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        key_file.chmod(0o600)
        return certificate_file, key_file

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(hours=1))
        builder = builder.not_valid_after(now + dt.timedelta(days=1))
        return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)

    def _signed(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path, "authority")


@pytest.fixture
def served(own_service: Any, authority: Authority) -> Iterator[Any]:
    """A service with a certificate of that authority."""
    certificate, key = authority.issue("server")
    own_service.serve(scheme="https", more=f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"')
    yield own_service
    assert own_service.stop() == 0


def test_boto3_uses_a_key_over_https(served: Any, authority: Authority) -> None:
    """With the CA at hand boto3 works as over HTTP, and without it refuses to speak."""
    kms = served.client(verify=str(authority.file))
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"x" * 4096)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x" * 4096
    with pytest.raises(SSLError):
        served.client().list_keys()
    served.until(lambda: any(r["action"] == "kms:Decrypt" for r in served.records()))


def test_plain_http_is_not_spoken_there(served: Any) -> None:
    """A request in the clear gets no answer, and others' connections go on."""
    with served.wire() as wire:
        wire.send(served.signer()("ListKeys"))
        with pytest.raises(ConnectionError):
            wire.reply()


@pytest.mark.parametrize(
    ("version", "name"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_two_versions_of_tls_are_spoken(served: Any, authority: Authority, version: Any, name: str) -> None:
    """TLS 1.2 and 1.3; pipelined requests are answered in order as ever."""
    context = ssl.create_default_context(cafile=str(authority.file))
    context.minimum_version = context.maximum_version = version
    request = served.signer()("ListKeys")
    with served.wire() as wire:
        wire.sock = context.wrap_socket(wire.sock, server_hostname="127.0.0.1")
        assert wire.sock.version() == name
        wire.send(request * 5)
        assert [wire.reply().status for _ in range(5)] == [200] * 5


def test_a_renewed_certificate_is_taken_without_losing_a_connection(
    served: Any, authority: Authority
) -> None:
    """After SIGHUP new connections get the new certificate; those that exist go on."""
    context = ssl.create_default_context(cafile=str(authority.file))
    request = served.signer()("ListKeys")
    with served.wire() as old:
        old.sock = context.wrap_socket(old.sock, server_hostname="127.0.0.1")
        assert old.ask(request).status == 200
        before = old.sock.getpeercert()["serialNumber"]
        authority.issue("server")
        os.kill(served.process.pid, signal.SIGHUP)

        def renewed() -> bool:
            serials = set()
            for _ in range(8):  # both workers
                with served.wire() as new:
                    new.sock = context.wrap_socket(new.sock, server_hostname="127.0.0.1")
                    serials.add(new.sock.getpeercert()["serialNumber"])
            return before not in serials

        served.until(renewed)
        assert old.ask(request).status == 200


def test_clients_must_show_a_certificate_where_a_ca_for_them_is_set(
    own_service: Any, authority: Authority, tmp_path: Path
) -> None:
    """With a client CA nobody gets as far as a request without a certificate of it."""
    certificate, key = authority.issue("server")
    clients = Authority(tmp_path, "clients")
    mine, mine_key = clients.issue("somebody")
    foreign, foreign_key = authority.issue("stranger")
    own_service.serve(
        scheme="https",
        more=f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\nclient_ca = "{clients.file}"',
    )
    shown = own_service.client(verify=str(authority.file), config=quick(mine, mine_key))
    assert shown.list_keys()["Keys"] == []
    for config in (quick(foreign, foreign_key), quick()):
        with pytest.raises(Exception, match=r"(?i)ssl|alert|closed|reset|certificate"):
            own_service.client(verify=str(authority.file), config=config).list_keys()
    assert own_service.stop() == 0


def quick(*pair: Path) -> Config:
    """A boto3 configuration that shows a certificate, if it is given one, and does not try again."""
    shown = (str(pair[0]), str(pair[1])) if pair else None
    return Config(retries={"total_max_attempts": 1}, client_cert=shown, read_timeout=5)
