"""An issuer's public keys: a JSON Web Key Set (RFC 7517), and what each key may check.

A set may hold keys for other purposes. One that cannot check a signature here (of another kind or curve, for
encryption, too short, damaged) is as though it were not there (RFC 7517, section 5), so a token that needs it is
refused like one with an unknown key.

The library that checks them takes 20 ms to import, so that is left to whoever has a key or a signature: every start
would have to wait for it, and most installations trust no issuer.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from keystead.federation.strict import read_base64, read_object

MOST_KEYS: Final = 100
MOST_BYTES: Final = 262_144  # of a set
RSA_BITS: Final = range(2048, 8193)  # below it is too weak, and above it is work for us that others choose


class Kind(NamedTuple):
    """A kind of keys."""

    kty: str
    crv: str = ""


ALGORITHMS: Final[Mapping[str, Kind]] = {
    "RS256": Kind("RSA"),
    "RS384": Kind("RSA"),
    "RS512": Kind("RSA"),
    "PS256": Kind("RSA"),
    "PS384": Kind("RSA"),
    "PS512": Kind("RSA"),
    "ES256": Kind("EC", "P-256"),
    "ES384": Kind("EC", "P-384"),
    "ES512": Kind("EC", "P-521"),
    "EdDSA": Kind("OKP", "Ed25519"),
}
"""The signatures that count, and the kind of key that each is for. A token cannot choose another."""

_MATERIAL: Final[Mapping[str, tuple[str, ...]]] = {"RSA": ("n", "e"), "EC": ("x", "y"), "OKP": ("x",)}
_TEXTS: Final = ("kty", "crv", "kid", "use", "alg", "n", "e", "x", "y")


class IssuerKey:
    """One key that can check signatures. ``members`` are what is kept of it, as JSON has them."""

    def __init__(self, kind: Kind, members: Mapping[str, str], public: Any) -> None:  # noqa: ANN401 - joserfc's, of its kind
        self.kind = kind
        self.members = members
        self._public = public

    def suits(self, algorithm: str, kid: str | None) -> bool:
        """Whether a token with that algorithm and key id (None: it names no key) may be signed by it."""
        return (
            self.kind == ALGORITHMS[algorithm]
            and self.members.get("alg", algorithm) == algorithm
            and (kid is None or self.members.get("kid") == kid)
        )

    def signed(self, algorithm: str, message: bytes, signature: bytes) -> bool:
        """Whether this is its signature of the message."""
        from joserfc.jws import JWSRegistry  # noqa: PLC0415 - see the module

        # Of the registry's algorithms only those count that `suits` knows; others never come here.
        return JWSRegistry.algorithms[algorithm].verify(message, signature, self._public)


def read(text: str) -> tuple[IssuerKey, ...]:
    """The keys of a set that can be used; `ValueError`, with the reason, if it is no set or has none."""
    if len(text) > MOST_BYTES:
        raise ValueError(f"its key set is larger than {MOST_BYTES:,} bytes")
    try:
        listed = read_object(text.encode()).get("keys")
    except ValueError as error:
        raise ValueError(f"its key set is not JSON as it must be ({_reason(error)})") from None
    if not isinstance(listed, list):
        raise ValueError("its key set has no list of keys")  # noqa: TRY004 - malformed, like the rest
    if len(listed) > MOST_KEYS:
        raise ValueError(f"its key set has more than {MOST_KEYS} keys")
    found = tuple(filter(None, map(_usable, listed)))
    if not found:
        raise ValueError("its key set has no key that can be used here")
    return found


def write(keys: Iterable[IssuerKey]) -> str:
    """A set of these keys, with nothing that is not used here."""
    return json.dumps({"keys": [dict(key.members) for key in keys]})


def _usable(listed: object) -> IssuerKey | None:
    from joserfc import jwk  # noqa: PLC0415 - see the module
    from joserfc.errors import JoseError  # noqa: PLC0415 - see the module

    if not isinstance(listed, dict):
        return None
    members = {name: listed[name] for name in _TEXTS if name in listed}
    if not all(isinstance(value, str) for value in members.values()):
        return None
    kind = Kind(members.get("kty", ""), members.get("crv", ""))
    operations = listed.get("key_ops", ["verify"])
    if (
        kind not in ALGORITHMS.values()
        or members.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
    ):
        return None
    # Only the public part is taken: there is no reason to hold what an issuer has published by mistake.
    public = {name: members[name] for name in ("crv", *_MATERIAL[kind.kty]) if name in members}
    try:
        if kind.kty == "RSA" and _bits(public["n"]) not in RSA_BITS:
            return None
        return IssuerKey(kind, members, jwk.import_key({"kty": kind.kty, **public}))
    except (JoseError, ValueError, KeyError):
        return None


def _bits(number: str) -> int:
    return int.from_bytes(read_base64(number)).bit_length()


def _reason(error: ValueError) -> str:
    """Why JSON was refused, in our words only: the parser's may hold what was sent."""
    return str(error) if type(error) is ValueError else "it cannot be read"
