"""The key that signs the audit logs' checkpoints: how processes learn which one it is, and how it is replaced.

The store holds the present key, wrapped, and the statements that lead to it from the first one
(`keystead.audit.logkeys`); while two keys sign, the one before as well. ``audit/keys`` repeats the statements for
verifiers. That file is written after the store, and by renaming: a running process looks whether it is another file,
which costs a microsecond, and only then asks the store. So a new key is in force in all processes a moment after
`rotate` returns, without a restart.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keystead import store
from keystead.audit import logkeys
from keystead.audit.cosigned import put
from keystead.audit.disk import LocalDisk
from keystead.audit.logkeys import SigningKeys
from keystead.config import Config
from keystead.core.errors import DataDamaged, KeysteadError
from keystead.core.key import binding
from keystead.core.ports import Clock, Custodian
from keystead.crypto.note import InvalidNote, NoteSigner

SERVICE_ACCOUNT: Final = "000000000000"  # owns what the service needs for itself
VKEY_FILE: Final = "audit.vkey"
KEY, VKEY, BEFORE, UNTIL, STATEMENTS = (
    "audit-signing-key",
    "audit-vkey",
    "audit-signing-key-before",
    "audit-signing-until",
    "audit-key-statements",
)
SETTINGS: Final = (KEY, VKEY, BEFORE, UNTIL, STATEMENTS)
LABEL: Final = binding("audit-signing-key")

Settings = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the store says of the keys."""

    keys: SigningKeys
    until: float  # when the key before ceases to sign, Unix seconds


class LogKeys:
    """What the logs are signed with now. For one thread; cheap to call."""

    def __init__(
        self, config: Config, instance: str, custodian: Custodian, clock: Clock, settings: Settings
    ) -> None:
        """``settings`` may be out of date; the first call looks."""
        self._config = config
        self._instance = instance
        self._custodian = custodian
        self._clock = clock
        self._file = config.audit / logkeys.FILE
        self._mark: tuple[int, int] | None = None
        self._stored = self._read(settings)

    def __call__(self) -> SigningKeys:
        """The keys; the same object as long as they are the same."""
        mark = _mark(self._file)
        if mark != self._mark:
            try:
                self._stored = self._read(read_settings(self._config, self._clock))
                self._mark = mark
            except KeysteadError:
                return self._stored.keys  # the store cannot be read now: asked again the next time
        return self._as_of(self._clock.now())

    def _as_of(self, now: float) -> SigningKeys:
        keys = self._stored.keys
        if len(keys.signers) > 1 and now >= self._stored.until:
            keys = SigningKeys(keys.signers[:1], keys.known)
            self._stored = _Stored(keys, 0.0)
        return keys

    def _read(self, settings: Settings) -> _Stored:
        signers = [self._signer(settings[KEY] or "")]
        if before := settings[BEFORE]:
            signers.append(self._signer(before))
        try:
            known = [
                logkeys.read_statement(note).old
                for note in logkeys.decode((settings[STATEMENTS] or EMPTY).encode())
            ]
        except InvalidNote as error:
            raise DataDamaged(f"the store's statements about audit keys do not hold: {error}") from None
        return _Stored(SigningKeys(tuple(signers), tuple(known)), float(settings[UNTIL] or 0))

    def _signer(self, protected: str) -> NoteSigner:
        return signer(self._instance, self._custodian.reveal(SERVICE_ACCOUNT, protected, LABEL))


EMPTY: Final = logkeys.encode(()).decode()


def signer(instance: str, key: bytes) -> NoteSigner:
    """What signs with the 32 bytes of a key."""
    return NoteSigner(f"keystead-{instance}", Ed25519PrivateKey.from_private_bytes(key))


def read_settings(config: Config, clock: Clock) -> dict[str, str | None]:
    """The settings that this room goes by."""
    with closing(store.connect(config.store, now=clock.now)) as opened, opened.view() as view:
        return {name: view.setting(name) for name in SETTINGS}


def show(config: Config, settings: Settings) -> None:
    """Write the files beside the data and the logs that tell verifiers of the keys, if they do not tell it yet."""
    disk = LocalDisk()
    vkey = config.data / VKEY_FILE
    if _text(vkey) != f"{settings[VKEY]}\n":
        put(disk, vkey, f"{settings[VKEY]}\n".encode())
    statements = settings[STATEMENTS]
    path = config.audit / logkeys.FILE
    if statements and _text(path) != statements:
        disk.mkdir(config.audit)
        put(disk, path, statements.encode())


def _mark(path: Path) -> tuple[int, int]:
    """Which file has that name."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
