"""HTTPS with certificates of one's own: boto3 is given the CA and nothing else."""

import os
import signal
import ssl
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import SSLError

pytestmark = pytest.mark.e2e


def test_boto3_uses_a_key_over_https(served: Any, authority: Any) -> None:
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
def test_two_versions_of_tls_are_spoken(served: Any, authority: Any, version: Any, name: str) -> None:
    """TLS 1.2 and 1.3; pipelined requests are answered in order as ever."""
    context = ssl.create_default_context(cafile=str(authority.file))
    context.minimum_version = context.maximum_version = version
    request = served.signer()("ListKeys")
    with served.wire() as wire:
        wire.sock = context.wrap_socket(wire.sock, server_hostname="127.0.0.1")
        assert wire.sock.version() == name
        wire.send(request * 5)
        assert [wire.reply().status for _ in range(5)] == [200] * 5


def test_a_renewed_certificate_is_taken_without_losing_a_connection(served: Any, authority: Any) -> None:
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
    own_service: Any, authority: Any, tmp_path: Path
) -> None:
    """With a client CA nobody gets as far as a request without a certificate of it."""
    certificate, key = authority.issue("server")
    clients = type(authority)(tmp_path, "clients")
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
