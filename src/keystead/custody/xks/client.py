"""The four calls of the XKS API, and what each of their answers means to us.

A proxy is somebody else's program: it may be slow, broken or malicious. So every answer is bounded before it is read,
taken apart strictly, and its lengths are checked against what was asked. Nothing of it gets into a message or a log but
which of the known refusals it is. What is not in `REFUSALS`, and not a right answer, counts like no answer at all.
"""

import hmac
import ssl
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec

from keystead.core.blob import IV_BYTES, METADATA_BYTES, TAG_BYTES, Outer, unpack_outer
from keystead.core.errors import (
    CustodyUnavailable,
    InvalidCiphertext,
    InvalidKeyState,
    KeysteadError,
    KeyStoreInvalidState,
    XksKeyInvalidConfiguration,
    XksKeyNotFound,
)
from keystead.core.keystore import KeyStore, Problem
from keystead.core.ports import Clock, Outside, Random
from keystead.crypto.secret import Secret
from keystead.crypto.sigv4 import Credential, sign
from keystead.custody.xks.breaker import Breaker, State
from keystead.custody.xks.wire import Names, Reply, Unreachable, Wire

T = TypeVar("T")
R = TypeVar("R")

SERVICE: Final = "kms-xks-proxy"  # of the signature's scope (XKS, "Appendix A")
HTTPS: Final = 443
MOST_PROXIES: Final = 256  # whose connections are kept
MOST_PLAINTEXT: Final = 4300  # bytes that every proxy must take (XKS, "Encrypt")
MOST_USAGES: Final = 10
MOST_MANAGERS: Final = 10

_encode = msgspec.json.Encoder().encode


# --- what is sent ----------------------------------------------------------------------------------------


class _Metadata(msgspec.Struct, omit_defaults=True, rename="camel"):
    """For whom and why: ``requestMetadata``."""

    kms_operation: str
    kms_request_id: str
    aws_principal_arn: str = ""
    kms_key_arn: str = ""


class _Ask(msgspec.Struct, rename="camel"):
    """GetKeyMetadata and GetHealthStatus."""

    request_metadata: _Metadata


class _Encrypt(msgspec.Struct, rename="camel"):
    request_metadata: _Metadata
    additional_authenticated_data: bytes
    plaintext: bytes
    encryption_algorithm: str = "AES_GCM"
    ciphertext_data_integrity_value_algorithm: str = "SHA_256"


class _Decrypt(msgspec.Struct, omit_defaults=True, rename="camel"):
    request_metadata: _Metadata
    additional_authenticated_data: bytes
    ciphertext: bytes
    initialization_vector: bytes
    authentication_tag: bytes
    encryption_algorithm: str
    ciphertext_metadata: bytes = b""


# --- what comes back -------------------------------------------------------------------------------------


class _Encrypted(msgspec.Struct, rename="camel"):
    ciphertext: bytes
    initialization_vector: bytes
    authentication_tag: bytes
    ciphertext_metadata: bytes | None = None
    ciphertext_data_integrity_value: bytes | None = None


class _Decrypted(msgspec.Struct, rename="camel"):
    plaintext: bytes


class _KeyMetadata(msgspec.Struct, rename="camel"):
    key_spec: str
    key_usage: list[str]
    key_status: str


class _Manager(msgspec.Struct, rename="camel"):
    id: str
    model: str
    health_status: str


class _Health(msgspec.Struct, rename="camel"):
    xks_proxy_fleet_size: int
    xks_proxy_vendor: str
    xks_proxy_model: str
    ekm_vendor: str
    ekm_fleet_details: list[_Manager]


class _Refused(msgspec.Struct, rename="camel"):
    error_name: str


class Refusal(NamedTuple):
    """What it means that a proxy refuses something."""

    status: HTTPStatus
    problem: Problem  # of the connection of its key store
    creating: type[KeysteadError]  # to who creates a key
    using: type[KeysteadError]  # to who uses one
    text: str


NONSENSE: Final = Refusal(
    HTTPStatus.OK,
    Problem.RESPONSE,
    CustodyUnavailable,
    CustodyUnavailable,
    "The external key store proxy answers something that the XKS API does not have.",
)

# XKS, "Error codes".
REFUSALS: Final[Mapping[str, Refusal]] = {
    "ValidationException": NONSENSE._replace(status=HTTPStatus.BAD_REQUEST),
    "InvalidStateException": Refusal(
        HTTPStatus.BAD_REQUEST,
        Problem.RESPONSE,
        XksKeyInvalidConfiguration,
        InvalidKeyState,
        "The external key is not enabled in its key manager.",
    ),
    "InvalidCiphertextException": NONSENSE._replace(status=HTTPStatus.BAD_REQUEST, using=InvalidCiphertext),
    "InvalidKeyUsageException": Refusal(
        HTTPStatus.BAD_REQUEST,
        Problem.RESPONSE,
        XksKeyInvalidConfiguration,
        InvalidKeyState,
        "The external key may not be used for this in its key manager.",
    ),
    "AuthenticationFailedException": Refusal(
        HTTPStatus.UNAUTHORIZED,
        Problem.CREDENTIAL,
        KeyStoreInvalidState,
        InvalidKeyState,
        "The external key store proxy does not accept the credential of the key store.",
    ),
    "AccessDeniedException": Refusal(
        HTTPStatus.FORBIDDEN,
        Problem.DENIED,
        InvalidKeyState,
        InvalidKeyState,
        "The external key store proxy does not allow this to this principal.",
    ),
    "KeyNotFoundException": Refusal(
        HTTPStatus.NOT_FOUND,
        Problem.RESPONSE,
        XksKeyNotFound,
        InvalidKeyState,
        "The external key does not exist in its key manager.",
    ),
    "InvalidUriPathException": Refusal(
        HTTPStatus.NOT_FOUND,
        Problem.CONFIGURATION,
        KeyStoreInvalidState,
        InvalidKeyState,
        "The external key store proxy does not serve the path of the key store.",
    ),
    "ThrottlingException": Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        Problem.UNREACHABLE,
        CustodyUnavailable,
        CustodyUnavailable,
        "The external key store proxy has too much to do: ask it less often.",
    ),
    "UnsupportedOperationException": Refusal(
        HTTPStatus.NOT_IMPLEMENTED,
        Problem.RESPONSE,
        KeyStoreInvalidState,
        InvalidKeyState,
        "The external key store proxy does not support this.",
    ),
    "DependencyTimeoutException": Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        Problem.TIMEOUT,
        CustodyUnavailable,
        CustodyUnavailable,
        "The external key store proxy gets no answer from its key manager.",
    ),
    "InternalException": Refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        Problem.RESPONSE,
        CustodyUnavailable,
        CustodyUnavailable,
        "The external key store proxy cannot use its key manager.",
    ),
}
"""By the name that the proxy gives; it must come with the status."""

_BY_STATUS: Final[Mapping[int, Refusal]] = {
    401: REFUSALS["AuthenticationFailedException"],
    403: REFUSALS["AccessDeniedException"],
    404: REFUSALS["InvalidUriPathException"],
    429: REFUSALS["ThrottlingException"],
    500: REFUSALS["InternalException"],
    502: REFUSALS["InternalException"],
    503: REFUSALS["DependencyTimeoutException"],
    504: REFUSALS["DependencyTimeoutException"],
}
"""Without a name that is known: a load balancer before the proxy answers like this."""

_TEXTS: Final[Mapping[Problem, str]] = {
    Problem.UNREACHABLE: "The external key store proxy cannot be reached.",
    Problem.TIMEOUT: "The external key store proxy has not answered in time.",
    Problem.TLS: "The external key store proxy does not prove by TLS that it is the one.",
    Problem.RESPONSE: NONSENSE.text,
}


class _Refusing(Exception):
    """The proxy refuses; what that means depends on who asks."""

    def __init__(self, row: Refusal) -> None:
        super().__init__(row.text)
        self.row = row


class _Proxy(NamedTuple):
    """One proxy, as one key store has it."""

    host: str  # as it stands in the request, with the port where it is not HTTPS's own
    wire: Wire
    breaker: Breaker


class Client:
    """Implements `keystead.core.ports.ExternalKeys`. One for each process.

    ``seconds`` is the deadline of one request, ``notice`` hears of a key store whose proxy answers no more, or again.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        clock: Clock,
        random: Random,
        *,
        seconds: float = 0.25,
        port: int = HTTPS,
        notice: Callable[[str, State], None] = lambda _, __: None,
    ) -> None:
        self._context = context
        self._clock = clock
        self._random = random
        self._seconds = seconds
        self._port = port
        self._notice = notice
        self._names = Names(clock)
        self._lock = threading.Lock()
        self._proxies: dict[tuple[str, str, str], _Proxy] = {}

    # --- the calls -----------------------------------------------------------------------------------

    def diagnose(self, key_store: KeyStore, secret: bytes, operation: str, request: str) -> Problem | None:
        """GetHealthStatus. Asked whatever the breaker says, since somebody is mending things."""
        proxy = self._proxy(key_store)
        body = _encode(_Ask(_Metadata(operation, request)))
        try:
            health = self._post(proxy, key_store, secret, "health", body, _Health)
        except Unreachable as error:
            return error.problem
        except _Refusing as error:
            return error.row.problem
        managers = health.ekm_fleet_details
        states = {manager.health_status for manager in managers}
        if not 1 <= len(managers) <= MOST_MANAGERS or states - {"ACTIVE", "DEGRADED", "UNAVAILABLE"}:
            return Problem.RESPONSE
        if health.xks_proxy_fleet_size < 1:
            return Problem.RESPONSE
        if states == {"UNAVAILABLE"}:
            return Problem.UNREACHABLE
        proxy.breaker.succeeded()
        return None

    def check_key(self, asked: Outside) -> None:
        """GetKeyMetadata."""
        metadata = _Metadata("CreateKey", asked.request, asked.principal)

        def read(found: _KeyMetadata) -> None:
            if len(found.key_usage) > MOST_USAGES or found.key_status not in ("ENABLED", "DISABLED"):
                raise Unreachable(Problem.RESPONSE)
            usable = found.key_spec == "AES_256" and {"ENCRYPT", "DECRYPT"} <= set(found.key_usage)
            if not usable or found.key_status != "ENABLED":
                raise XksKeyInvalidConfiguration(
                    "The external key must be an enabled AES-256 key that encrypts and decrypts."
                )

        self._call(
            asked, "metadata", _encode(_Ask(metadata)), _KeyMetadata, read, lambda refusal: refusal.creating
        )

    def seal(self, asked: Outside, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt."""
        body = _encode(_Encrypt(_metadata(asked), aad, plaintext))

        def read(made: _Encrypted) -> bytes:
            iv, tag, text = made.initialization_vector, made.authentication_tag, made.ciphertext
            metadata = made.ciphertext_metadata or b""
            if (
                len(iv) not in IV_BYTES
                or len(tag) != TAG_BYTES
                or len(metadata) > METADATA_BYTES
                or len(text) != len(plaintext)
            ):
                raise Unreachable(Problem.RESPONSE)
            told = made.ciphertext_data_integrity_value
            if told is not None and not hmac.compare_digest(
                told, integrity_value(aad, metadata, iv, text, tag)
            ):
                raise Unreachable(Problem.RESPONSE)
            return Outer(iv, metadata, tag, text).pack()

        def refused(refusal: Refusal) -> type[KeysteadError]:
            return CustodyUnavailable if refusal.using is InvalidCiphertext else refusal.using

        return self._call(asked, "encrypt", body, _Encrypted, read, refused)

    def open(self, asked: Outside, sealed: bytes, aad: bytes) -> bytes:
        """Decrypt."""
        outer = unpack_outer(sealed)
        body = _encode(
            _Decrypt(_metadata(asked), aad, outer.ciphertext, outer.iv, outer.tag, "AES_GCM", outer.metadata)
        )

        def read(opened: _Decrypted) -> bytes:
            if len(opened.plaintext) != len(outer.ciphertext):
                raise Unreachable(Problem.RESPONSE)
            return opened.plaintext

        return self._call(asked, "decrypt", body, _Decrypted, read, lambda refusal: refusal.using)

    def close(self) -> None:
        """Let go of all connections."""
        with self._lock:
            proxies, self._proxies = self._proxies, {}
        for proxy in proxies.values():
            proxy.wire.close()

    # --- what they share -----------------------------------------------------------------------------

    def _call(
        self,
        asked: Outside,
        operation: str,
        body: bytes,
        answer: type[T],
        read: Callable[[T], R],
        refused: Callable[[Refusal], type[KeysteadError]],
    ) -> R:
        """Ask about a key, unless the breaker is open; ``read`` checks the answer, ``refused`` names the error."""
        proxy = self._proxy(asked.key_store)
        proxy.breaker.admit()
        error: KeysteadError
        try:
            path = f"keys/{asked.outer_key}/{operation}"
            result = read(self._post(proxy, asked.key_store, asked.secret, path, body, answer))
        except Unreachable as failure:
            error = CustodyUnavailable(_TEXTS[failure.problem])
        except _Refusing as refusal:
            kind = refused(refusal.row)
            error = kind() if kind is InvalidCiphertext else kind(refusal.row.text)
        except KeysteadError as found:
            error = found
        except BaseException:
            proxy.breaker.failed()  # or nobody would ever probe again
            raise
        else:
            proxy.breaker.succeeded()
            return result
        if isinstance(error, CustodyUnavailable):
            proxy.breaker.failed()
        else:
            proxy.breaker.succeeded()
        raise error

    def _post(
        self, proxy: _Proxy, key_store: KeyStore, secret: bytes, path: str, body: bytes, answer: type[T]
    ) -> T:
        """One signed request; raises `Unreachable` or `_Refusing`."""
        path = f"{key_store.path}/{path}"
        headers = sign(
            "POST",
            proxy.host,
            path,
            {},
            body,
            credentials=Credential(key_store.access_key_id, Secret(secret)),
            region=key_store.region,
            service=SERVICE,
            now=self._clock.now(),
        )
        headers |= {"content-type": "application/json", "content-length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode()
        reply = proxy.wire.exchange(head + body, self._seconds)
        if reply.status != HTTPStatus.OK:
            raise _Refusing(_refusal(reply))
        try:
            return msgspec.json.decode(reply.body, type=answer)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Unreachable(Problem.RESPONSE) from None

    def _proxy(self, key_store: KeyStore) -> _Proxy:
        # Another address or credential is another proxy: what the old one has done says nothing of it.
        name = key_store.id, key_store.endpoint, key_store.access_key_id
        with self._lock:
            proxy = self._proxies.get(name)
            if proxy is not None:
                return proxy
            dropped = None
            if len(self._proxies) >= MOST_PROXIES:
                dropped = self._proxies.pop(next(iter(self._proxies)))
            proxy = self._proxies[name] = self._new(key_store)
        if dropped is not None:
            dropped.wire.close()
        return proxy

    def _new(self, key_store: KeyStore) -> _Proxy:
        address = urlsplit(key_store.endpoint)
        host, port = address.hostname or "", address.port or self._port
        return _Proxy(
            host if port == HTTPS else f"{host}:{port}",
            Wire(host, port, self._context, self._names, self._clock),
            Breaker(self._clock, self._random, lambda state: self._notice(key_store.id, state)),
        )


def _metadata(asked: Outside) -> _Metadata:
    """For whom and why a key is used; ReEncrypt is one operation, but two actions in policies."""
    operation = asked.action.removeprefix("kms:")
    if operation.startswith("ReEncrypt"):
        operation = "ReEncrypt"
    return _Metadata(operation, asked.request, asked.principal, asked.key_arn)


def _refusal(reply: Reply) -> Refusal:
    """What an answer that is not OK means."""
    try:
        row = REFUSALS.get(msgspec.json.decode(reply.body, type=_Refused).error_name)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        row = None
    if row is not None and row.status == reply.status:
        return row
    return _BY_STATUS.get(reply.status, NONSENSE)


def integrity_value(aad: bytes, metadata: bytes, iv: bytes, ciphertext: bytes, tag: bytes) -> bytes:
    """The ciphertext data integrity value (XKS, "Appendix C")."""
    return sha256(aad + metadata + iv + ciphertext + tag).digest()
