"""One token: a JSON Web Token (RFC 7519) in compact form (RFC 7515), signed.

Nothing that is read here is believed until a key of the issuer has checked the signature (`IssuerKey.signed`). The
claims are looked at before, because what is refused for them need not be asked about.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from keystead.core.errors import ExpiredIdentityToken, InvalidIdentityToken
from keystead.core.principal import Provider
from keystead.federation.keys import ALGORITHMS
from keystead.federation.strict import read_base64, read_object

MOST_CHARACTERS: Final = 20_000  # AWS STS, "AssumeRoleWithWebIdentity"
LEEWAY: Final = 60.0
"""Seconds that the issuer's clock may be ahead. A token that is over has none: a new one costs little."""

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_NO_JWT: Final = "The token is not a signed JWT."


class Token(NamedTuple):
    """What a token says; nothing of it is proven."""

    algorithm: str
    kid: str | None
    claims: Mapping[str, Any]
    message: bytes  # that is signed
    signature: bytes


def read(text: str) -> Token:
    """Take a token apart; `InvalidIdentityToken` if it is none, or says that it needs what is not taken here."""
    if len(text) > MOST_CHARACTERS:
        raise InvalidIdentityToken(f"The token has more than {MOST_CHARACTERS:,} characters.")
    parts = _COMPACT.fullmatch(text)
    if parts is None:
        raise InvalidIdentityToken(_NO_JWT)
    try:
        header, claims = (read_object(read_base64(part)) for part in parts.group(1, 2))
        signature = read_base64(parts[3])
    except ValueError:
        raise InvalidIdentityToken(_NO_JWT) from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidIdentityToken(
            f"The token is not signed with an algorithm that is taken: {', '.join(ALGORITHMS)}."
        )
    if "crit" in header:  # RFC 7515, section 4.1.11: what must be understood, and here nothing is
        raise InvalidIdentityToken("The token has a critical header that is not known here.")
    if kid is not None and not isinstance(kid, str):
        raise InvalidIdentityToken(_NO_JWT)
    return Token(algorithm, kid, claims, text.rpartition(".")[0].encode(), signature)


def issuer(token: Token) -> str:
    """Who the token says has signed it."""
    claimed = token.claims.get("iss")
    if not isinstance(claimed, str) or not claimed:
        raise InvalidIdentityToken("The token does not say who its issuer is (iss).")
    return claimed


def check(token: Token, provider: Provider, now: float) -> None:
    """Refuse a token that is not this provider's, for none of its audiences, of nobody, or not valid now."""
    # (1) From whom.
    if issuer(token) != provider.url:
        raise InvalidIdentityToken("The token's issuer (iss) is not the identity provider's, to the letter.")
    # (2) For whom (OpenID Connect Core, section 3.1.3.7).
    audiences = token.claims.get("aud")
    if isinstance(audiences, str):
        audiences = [audiences]
    if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
        raise InvalidIdentityToken("The token does not say whom it is for (aud).")
    if not set(audiences) & set(provider.audiences):
        raise InvalidIdentityToken("The token is for none of the identity provider's audiences (aud).")
    if len(audiences) > 1 and token.claims.get("azp") not in provider.audiences:
        raise InvalidIdentityToken(
            "The token is for several audiences, so one of the identity provider's must be its authorized party "
            "(azp)."
        )
    # (3) About whom.
    subject = token.claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise InvalidIdentityToken("The token does not say whom it is about (sub).")
    # (4) When.
    expires, since, issued = (_time(token, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise InvalidIdentityToken("The token does not say when it is over (exp).")
    if expires <= now:
        raise ExpiredIdentityToken("The token's time is over (exp).")
    if max(since or 0.0, issued or 0.0) > now + LEEWAY:
        raise InvalidIdentityToken("The token is not valid yet (nbf, iat).")


def simple(claims: Mapping[str, Any]) -> dict[str, str | tuple[str, ...]]:
    """The claims that a condition can ask about: texts, numbers, booleans and lists of texts."""
    found: dict[str, str | tuple[str, ...]] = {}
    for name, value in claims.items():
        if isinstance(value, str):
            found[name] = value
        elif isinstance(value, bool):
            found[name] = "true" if value else "false"
        elif isinstance(value, int | float):
            found[name] = str(value)
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            found[name] = tuple(value)
    return found


def _time(token: Token, name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2), or None if there is none."""
    value = token.claims.get(name)
    if name not in token.claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidIdentityToken(f"The token has a time that is none ({name}).")
    return value
