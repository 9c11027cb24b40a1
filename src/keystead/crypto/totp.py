"""One-time passwords that change with time (TOTP, RFC 6238), as authenticator apps make them.

SHA-1, six digits, a new one every thirty seconds: what every app does, whatever else it may be told. SHA-1 is sound
here, since HMAC needs no resistance to collisions.
"""

import hmac
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

DIGITS: Final = 6
STEP_SECONDS: Final = 30
AROUND: Final = (0, -1, 1)
"""The steps that count beside the current one: the app's clock may be wrong, and typing takes time."""


def password(secret: bytes, step: int) -> str:
    """The password of a step; RFC 4226 with the step for a counter."""
    return HOTP(secret, DIGITS, SHA1(), enforce_key_length=False).generate(step).decode()  # noqa: S303 - see above


def step_of(secret: bytes, code: str, now: float) -> int | None:
    """The step that a code is the password of, among those that count now; None if it is of none."""
    current = int(now // STEP_SECONDS)
    found = None
    for offset in AROUND:  # all of them, whichever it is
        if hmac.compare_digest(password(secret, current + offset).encode(), code.encode()):
            found = current + offset
    return found
