"""The server's side of TLS: what it accepts, what it refuses, and what it says about wrong files."""

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystead.core.errors import ConfigError
from keystead.server.tls import Certificates


def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """A handshake and a word between the two, over a pair of sockets; raises the client's error."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    theirs.settimeout(5)

    def serve() -> None:
        try:
            with server.wrap_socket(ours, server_side=True) as secured:
                secured.send(b"hello")
                secured.recv(1)
        except OSError:
            ours.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(theirs, server_hostname="127.0.0.1") as secured:
            assert secured.recv(5) == b"hello"
    finally:
        theirs.close()
        thread.join()


def client_of(pki: Any, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client that trusts the certificate and speaks one version only."""
    context: ssl.SSLContext = pki.client()
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_in_use_are_served(pki: Any, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 clients get through."""
    shake(Certificates(pki.chain, pki.key).context, client_of(pki, version))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_an_older_version_is_refused(pki: Any) -> None:
    """TLS 1.1 is broken, so there is no handshake."""
    client = client_of(pki, ssl.TLSVersion.TLSv1_1)
    client.set_ciphers("ALL:@SECLEVEL=0")  # or the client itself would refuse to ask
    with pytest.raises(OSError, match=r"(?i)protocol|alert|version|reset|eof"):
        shake(Certificates(pki.chain, pki.key).context, client)


def test_a_cipher_without_forward_secrecy_is_refused(pki: Any) -> None:
    """Whoever steals the key later must not read what was said before."""
    client = client_of(pki, ssl.TLSVersion.TLSv1_2)
    client.set_ciphers("AES128-GCM-SHA256:AES256-SHA")
    with pytest.raises(OSError, match=r"(?i)handshake|alert|reset|eof"):
        shake(Certificates(pki.chain, pki.key).context, client)


def test_compression_and_renegotiation_are_off(pki: Any) -> None:
    """Both have been the way in for attacks, and nobody needs them."""
    options = Certificates(pki.chain, pki.key).context.options
    assert options & ssl.OP_NO_COMPRESSION
    assert options & ssl.OP_NO_RENEGOTIATION


def test_with_a_client_ca_a_client_must_show_a_certificate(pki: Any, new_pki: Callable[..., Any]) -> None:
    """A certificate of that CA is let in; none, or another's, is not."""
    ca, stranger = new_pki("ca"), new_pki("stranger")
    server = Certificates(pki.chain, pki.key, ca.chain).context
    for shown, admitted in [(ca, True), (stranger, False), (None, False)]:
        client = client_of(pki)
        if shown is not None:
            client.load_cert_chain(shown.chain, shown.key)
        if admitted:
            shake(server, client)
        else:
            with pytest.raises((OSError, AssertionError)):
                shake(server, client)


def test_a_reload_changes_what_new_connections_get(pki: Any, new_pki: Callable[..., Any]) -> None:
    """After a renewal, clients see the new certificate without a restart."""
    certificates = Certificates(pki.chain, pki.key)
    shake(certificates.context, client_of(pki))
    renewed = new_pki("renewed")
    renewed.chain.replace(pki.chain)
    renewed.key.replace(pki.key)
    certificates.reload()
    shake(certificates.context, client_of(pki))  # its context is read anew: it trusts the renewed one only


def test_a_failed_reload_leaves_the_certificate_in_use(pki: Any) -> None:
    """Half-written files at a renewal do not take the service down."""
    certificates = Certificates(pki.chain, pki.key)
    client = client_of(pki)
    pki.chain.write_text("half written")
    with pytest.raises(ConfigError, match="PEM"):
        certificates.reload()
    shake(certificates.context, client)


def _missing(pki: Any, _: Path) -> tuple[Path, Path, Path | None]:
    return pki.chain.with_name("missing.pem"), pki.key, None


def _folder(pki: Any, folder: Path) -> tuple[Path, Path, Path | None]:
    return pki.chain, folder, None


def _no_pem(pki: Any, folder: Path) -> tuple[Path, Path, Path | None]:
    (folder / "x").write_text("no PEM")
    return pki.chain, folder / "x", None


def _no_ca(pki: Any, folder: Path) -> tuple[Path, Path, Path | None]:
    (folder / "x").write_text("no PEM")
    return pki.chain, pki.key, folder / "x"


WRONG: dict[str, tuple[Callable[[Any, Path], tuple[Path, Path, Path | None]], str]] = {
    "a file that is not there": (_missing, r"there is no file .*missing\.pem: correct the path"),
    "a file that cannot be read": (_folder, "cannot be read .*: let the server's user read it"),
    "a key that is not PEM": (_no_pem, "must be PEM files"),
    "a client CA that is not PEM": (_no_ca, "holds no certificate: it must be a PEM file"),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_wrong_file_is_named_with_its_cure(sentence: str, pki: Any, tmp_path: Path) -> None:
    """The start fails with a message that an operator can act on."""
    arrange, message = WRONG[sentence]
    with pytest.raises(ConfigError, match=message):
        Certificates(*arrange(pki, tmp_path))


def test_a_key_of_another_certificate_is_named(pki: Any, new_pki: Callable[..., Any]) -> None:
    """A pair that does not belong together is refused at the start, not at the first client."""
    with pytest.raises(ConfigError, match="does not belong to the certificate"):
        Certificates(pki.chain, new_pki("other").key)


def test_an_encrypted_key_does_not_ask_on_the_terminal(new_pki: Callable[..., Any]) -> None:
    """A service has nobody to type a password, so it says what to do instead of waiting."""
    encrypted = new_pki("encrypted", b"password")
    with pytest.raises(ConfigError, match="is encrypted: decrypt it"):
        Certificates(encrypted.chain, encrypted.key)
