"""What the service needs from outside, as small ports.

An adapter is done when it passes the contract tests in ``keystead.testing.contracts``. Adapters
translate whatever happens inside them into :mod:`keystead.core.errors` at their edge, and never
decide who may do what: that is the gate's part.
"""

from collections.abc import Callable
from typing import Protocol

Random = Callable[[int], bytes]
"""Returns that many unpredictable bytes."""


class Clock(Protocol):
    """Where time comes from, so that tests can stop it, skew it and turn it back."""

    def now(self) -> float:
        """The wall clock, seconds since 1970-01-01T00:00:00Z. It may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, for deadlines and leases."""
        ...


class AuditLog(Protocol):
    """An append-only log with one owner: the process that opened it.

    ``append`` only buffers. What was appended counts once ``commit`` has returned, and then it is on
    disk whatever happens to the process or the power. After a failed ``commit`` nothing appended since
    the last good one counts, the log refuses everything with `AuditUnavailable` at once, and it heals by
    itself when the disk does.
    """

    def append(self, entry: bytes) -> int:
        """Buffer one entry (at most 65,535 bytes) and return its index in the log.

        Raises `AuditUnavailable` when the log cannot take it.
        """
        ...

    def commit(self) -> None:
        """Make everything appended so far durable, or raise `AuditUnavailable`."""
        ...

    def tend(self) -> None:
        """Housekeeping between requests, about once a second: checkpoint, next segment, healing."""
        ...

    def close(self) -> None:
        """Commit, sign a last checkpoint and let go of the files."""
        ...

    @property
    def healthy(self) -> bool:
        """Whether the next append is expected to succeed."""
        ...


class Cipher(Protocol):
    """One AES-256 key version, ready to use; for one thread at a time."""

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Nonce, ciphertext and tag, under a fresh nonce."""
        ...

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """The plaintext, or `InvalidCiphertext`."""
        ...


class Custodian(Protocol):
    """Holds key material and uses it; material in the clear never crosses this line.

    Safe to call from many threads. `CustodyUnavailable` means nothing happened and the caller may
    try again; every other error is final. A *handle* names material; the store keeps it. ``binding``
    says which account, key, version and purpose the material is for: a handle opens under no other.
    """

    def generate(self, account: str, binding: bytes) -> tuple[str, str]:
        """Create AES-256 material; return its handle and its material id (64 hex digits).

        The material is as durable as the handle: keep the handle and it is kept.
        """
        ...

    def cipher(self, account: str, handle: str, binding: bytes) -> Cipher:
        """The key behind ``handle``; raises `DataDamaged` when the handle does not open."""
        ...

    def destroy(self, account: str, handle: str) -> None:
        """Erase the material. Erasing what is already gone succeeds."""
        ...

    def protect(self, account: str, secret: bytes, binding: bytes) -> str:
        """Wrap a secret of the service's own (an access key's, the log's) so that it may be stored."""
        ...

    def reveal(self, account: str, protected: str, binding: bytes) -> bytes:
        """The secret that `protect` wrapped under the same account and binding."""
        ...

    def enroll(self, account: str) -> str:
        """A new key-encryption key for an account, wrapped under the root: store it, then `admit` it."""
        ...

    def admit(self, account: str, wrapped: str) -> None:
        """Open an account's stored key-encryption key for use; raises `DataDamaged` if it does not open."""
        ...

    def knows(self, account: str) -> bool:
        """Whether the account's key-encryption key has been admitted."""
        ...
