"""Where an issuer's keys are: OpenID Connect Discovery 1.0.

The issuer's URL with ``/.well-known/openid-configuration`` behind it is a document that repeats the issuer and says
where the key set is. What is asked for is always https, except on this machine's own loopback interface, and an issuer
elsewhere cannot send us there.
"""

import re
import ssl
from http import HTTPStatus
from typing import Final

from keystead.core.address import is_loopback
from keystead.core.errors import InvalidRequest, ProviderUnreachable
from keystead.core.ports import Clock
from keystead.federation import keys
from keystead.federation.strict import read_object
from keystead.network import http
from keystead.network.deadline import Deadline
from keystead.network.http import Target, Unreachable

MOST_CHARACTERS: Final = 255  # of an issuer (AWS IAM, "CreateOpenIDConnectProvider")
MOST_BYTES: Final = 65_536  # of a discovery document
WELL_KNOWN: Final = "/.well-known/openid-configuration"

_URL: Final = re.compile(
    r"(https?)://([A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?"
    r"(/[A-Za-z0-9._~%!$&'()+,;=:@/-]*)?(\?[A-Za-z0-9._~%!$&'()+,;=:@/-]*)?"
)
_ISSUER: Final = re.compile(
    r"https?://[\w+=,.@:/-]+", re.ASCII
)  # what the ARN of a provider may hold in a trust policy
_PORTS: Final = {"https": 443, "http": 80}
_LAST_PORT: Final = 65_535


def fetch(url: str, authorities: str, clock: Clock, seconds: float) -> str:
    """An issuer's key set (`keystead.core.ports.IdentityTokens.fetch`), all within so many seconds."""
    issuer, context, deadline = parse(url), trust(authorities), Deadline(clock, seconds)
    try:
        # Discovery 1.0, section 4.1: a slash at the end of the issuer is not doubled.
        start = issuer._replace(path=issuer.path.rstrip("/") + WELL_KNOWN)
        document = _object(get(start, context, deadline, MOST_BYTES))
        # Section 4.3: or somebody else's document would bring somebody else's keys.
        if document.get("issuer") != url:
            raise Unreachable("its discovery document is not that of this issuer, to the letter")
        text = get(_key_set(document, issuer), context, deadline, keys.MOST_BYTES)
        return keys.write(keys.read(text.decode()))
    except UnicodeDecodeError:
        raise _unreachable(url, "its key set is not UTF-8") from None
    except (Unreachable, ValueError) as error:
        raise _unreachable(url, str(error)) from None


def parse(url: str) -> Target:
    """An issuer's URL; `InvalidRequest` if tokens of such a one are not taken."""
    found = _target(url) if len(url) <= MOST_CHARACTERS and _ISSUER.fullmatch(url) else None
    if found is None or not (found.secure or is_loopback(found.host)):
        raise InvalidRequest(
            f"The URL of an identity provider is https://HOST, with a port and a path if it has them, and at most "
            f"{MOST_CHARACTERS} characters: the issuer (iss) of its tokens, to the letter. http is for localhost only."
        )
    return found


def get(target: Target, context: ssl.SSLContext, deadline: Deadline, most_bytes: int) -> bytes:
    """A document of an issuer's; raises `Unreachable`."""
    answer = http.ask(target, context, deadline, most_bytes, headers={"Accept": "application/json"})
    if answer.status != HTTPStatus.OK:
        raise Unreachable(f"it answers with status {answer.status}")
    return answer.body


def trust(authorities: str) -> ssl.SSLContext:
    """How an issuer proves who it is: by a certificate of these authorities (PEM), or of the system's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificates and host names
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not authorities:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, TypeError):  # the latter for what is not ASCII
        raise InvalidRequest("The authorities of an identity provider are certificates in PEM.") from None
    return context


def _target(url: str) -> Target | None:
    found = _URL.fullmatch(url)
    if found is None:
        return None
    scheme, host, port, path, query = found.groups()
    number = int(port) if port else _PORTS[scheme]
    if not 0 < number <= _LAST_PORT:
        return None
    return Target(scheme == "https", host.strip("[]"), number, (path or "/") + (query or ""))


def _key_set(document: dict[str, object], issuer: Target) -> Target:
    said = document.get("jwks_uri")
    found = _target(said) if isinstance(said, str) else None
    if found is None:
        raise Unreachable("its discovery document does not say where its keys are (jwks_uri)")
    if not is_loopback(issuer.host) and (not found.secure or is_loopback(found.host)):
        raise Unreachable("its discovery document says that its keys are where they cannot be (jwks_uri)")
    return found


def _object(data: bytes) -> dict[str, object]:
    try:
        return read_object(data)
    except ValueError:
        raise Unreachable("its discovery document is not a JSON object") from None


def _unreachable(url: str, reason: str) -> ProviderUnreachable:
    return ProviderUnreachable(f"The keys of {url} cannot be fetched: {reason}.")
