"""The server's side of TLS: one context, loaded from files, reloadable without losing a connection.

TLS 1.3, and 1.2 with forward secrecy and authenticated ciphers only. No compression, no renegotiation. With
a client CA, every client must show a certificate that the CA signed; without one, clients prove themselves
in the request.

Every mistake with the files is a `ConfigError` that names the file and the cure, at start and at reload. A
reload that fails leaves the certificate in place that was there before.
"""

import ssl
from pathlib import Path

from keystead.core.errors import ConfigError

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL"  # of TLS 1.2; those of 1.3 are all good


class Certificates:
    """A certificate chain with its key, and the context that serves them.

    `reload` changes what new connections get; connections that exist keep what they have.
    """

    def __init__(self, chain: Path, key: Path, client_ca: Path | None = None) -> None:
        self._chain = chain
        self._key = key
        self._client_ca = client_ca
        self.context = self._load()

    def reload(self) -> None:
        """Read the certificate and the key again, as after a renewal."""
        self._load()  # into a context of its own: a bad pair of files must not touch the one in use
        self.context.load_cert_chain(self._chain, self._key, password=self._no_password)

    def _load(self) -> ssl.SSLContext:
        for path in (self._chain, self._key, self._client_ca):
            if path is not None:
                _require_readable(path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._chain, self._key, password=self._no_password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigError(
                    f"the private key {self._key} does not belong to the certificate {self._chain}: "
                    "name the key that the certificate was issued for"
                ) from None
            raise ConfigError(
                f"the certificate {self._chain} or its key {self._key} is not what it should be: "
                "both must be PEM files, and the certificate file begins with the server's own certificate"
            ) from None
        if self._client_ca is not None:
            try:
                context.load_verify_locations(self._client_ca)
            except ssl.SSLError:
                raise ConfigError(
                    f"the client CA {self._client_ca} holds no certificate: it must be a PEM file"
                ) from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _no_password(self) -> str:
        # Without this, OpenSSL would ask for the password on the terminal and the start would hang.
        raise ConfigError(
            f"the private key {self._key} is encrypted: decrypt it (`openssl pkey -in … -out …`) and protect "
            "the file by its permissions"
        )


def _require_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}: correct the path in the configuration") from None
    except OSError as error:
        raise ConfigError(
            f"the file {path} cannot be read ({error.strerror}): let the server's user read it"
        ) from None
