"""The seal: how the root key is stored, and opened at start.

The 32-byte root key is wrapped once per *slot*, each under a key of its own kind (a passphrase, a file, an
environment variable), like the key slots of LUKS. Any one opens the root; so losing a passphrase loses
nothing while another slot is left, and changing one touches no other key. Kinds are found by name in
:mod:`keystead.custody.seals`.

    slot = create("passphrase", root, secrets, random, instance=instance)
    root = open_any([slot], secrets, instance=instance)

A slot's wrapped root is authenticated with the installation's id, the slot's id, kind and parameters, so a
slot that was changed, renamed or brought from another installation does not open. Its parameter ``root`` is
a check value of the root key: what is opened must be what the slot says it holds, and slots of different
roots can be told apart by looking. ``wrapped`` ends with four bytes of SHA-256 over all of that. They protect
nothing: they tell a damaged slot from a wrong secret, so that the error names the right cure.
"""

import os
import pkgutil
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path

from keystead.core.errors import InvalidCiphertext, SealError
from keystead.core.ports import Random
from keystead.core.seal import SealSlot
from keystead.crypto.kdf import hkdf_sha256
from keystead.crypto.keywrap import binding, from_text, to_text, unwrap, wrap
from keystead.crypto.random import exactly
from keystead.crypto.secret import Secret
from keystead.custody import seals
from keystead.custody.seals import KEY_BYTES, RESTORE, Kind, Parameters, SecretSource

CHECKSUM_BYTES = 4
FILE_LIMIT = 64 * 1024  # more than any passphrase; a path to a device must not fill the memory


def kinds() -> list[str]:
    """The kinds of slots there are, by name."""
    return sorted(module.name for module in pkgutil.iter_modules(seals.__path__))


def new_root(random: Random) -> Secret:
    """A root key for a new installation."""
    return Secret(exactly(random, KEY_BYTES))


def root_check(root: Secret) -> str:
    """32 hex digits that tell one root key from another, and nothing else about it."""
    return hkdf_sha256(root.reveal(), b"keystead root check v1", 16).hex()


def create(
    kind: str, root: Secret, secrets: SecretSource, random: Random, *, instance: str, **options: str | int
) -> SealSlot:
    """A new slot that holds ``root``; `SealError` says what is wrong with its secret if something is."""
    module = _kind(kind)
    unknown = sorted(options.keys() - module.OPTIONS)
    if unknown:
        known = ", ".join(sorted(module.OPTIONS))
        raise SealError(f"a slot of kind {kind} has no option {', '.join(unknown)}: it has {known}")
    parameters, key = module.new(secrets, random, options)
    slot_id = exactly(random, 8).hex()
    parameters["root"] = root_check(root)
    aad = _aad(instance, slot_id, kind, parameters)
    wrapped = wrap(key, root, aad, random)
    text = to_text(wrapped + _checksum(aad, wrapped))
    return SealSlot(id=slot_id, kind=kind, parameters=parameters, wrapped=text)


def open_any(slots: Iterable[SealSlot], secrets: SecretSource, *, instance: str) -> Secret:
    """The root key, from the first slot that opens; raises `SealError` that names each slot and its cure.

    Slots that may ask a person come last, so nobody is asked while a file or a variable will do.
    """
    known = kinds()
    failures = []
    for slot in sorted(slots, key=lambda slot: slot.kind in known and _kind(slot.kind).MAY_ASK):
        try:
            return _open(slot, secrets, instance)
        except SealError as error:
            failures.append(f"  slot {slot.id} ({slot.kind}): {error}")
    if not failures:
        raise SealError(
            "there is no seal slot: restore the store from a backup, or `keystead init` a new one"
        )
    raise SealError("\n".join(["no seal slot opened the root key:", *failures]))


def warnings(slots: Iterable[SealSlot]) -> list[str]:
    """What an operator is told at every start because of the slots there are."""
    known = kinds()
    texts = [(slot.id, _kind(slot.kind).WARNING) for slot in slots if slot.kind in known]
    return [f"seal slot {slot_id}: {text}" for slot_id, text in texts if text]


@dataclass(frozen=True, slots=True, repr=False)  # a repr would show the environment
class LocalSecrets:
    """The `SecretSource` of a server: this machine's files, and what the caller passes of its environment."""

    environment: Mapping[str, str]
    ask: Callable[[str], str] | None = None

    def read(self, path: str) -> bytes:
        """A file's first bytes; raises `SealError` with the cure."""
        return _read(path, private=False)

    def read_private(self, path: str) -> bytes:
        """The same, of a file that only its owner may read or write."""
        return _read(path, private=True)

    def create_private(self, path: str, data: bytes) -> None:
        """A new file, readable by its owner only and durable once this returns; never replaces one."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise SealError(
                f"{path} exists, and may be the only key to something: choose another path, or move it away"
            ) from None
        except OSError as error:
            raise SealError(
                f"{path} cannot be created ({error.strerror}): make its directory writable"
            ) from None
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            _sync_directory(Path(path).parent)
        except OSError as error:
            Path(path).unlink(missing_ok=True)  # half a key must not be taken for one
            raise SealError(f"{path} cannot be written ({error.strerror}): make room on its disk") from None


def _open(slot: SealSlot, secrets: SecretSource, instance: str) -> Secret:
    if slot.kind not in kinds():
        raise SealError(f"unknown kind: this version knows {', '.join(kinds())}; use a newer one")
    aad = _aad(instance, slot.id, slot.kind, slot.parameters)
    try:
        data = from_text(slot.wrapped)
    except InvalidCiphertext:
        raise SealError(f"damaged: the wrapped root is not base64url; {RESTORE}") from None
    wrapped, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if checksum != _checksum(aad, wrapped):
        raise SealError(f"damaged, or of another installation: its checksum is wrong; {RESTORE}")
    key = _kind(slot.kind).key(slot.parameters, secrets)
    try:
        root = unwrap(key, wrapped, aad)
    except InvalidCiphertext:
        raise SealError(
            "wrong secret: it does not open this slot; give the one that the slot was made with"
        ) from None
    if root_check(root) != slot.parameters.get("root"):
        raise SealError(f"damaged: it holds another root key than it says; {RESTORE}")
    return root


def _kind(name: str) -> Kind:
    if name not in kinds():
        raise SealError(f"there is no seal slot of kind {name!r}: use one of {', '.join(kinds())}")
    module: Kind = import_module(f"{seals.__name__}.{name}")
    return module


def _aad(instance: str, slot_id: str, kind: str, parameters: Parameters) -> bytes:
    pairs = []
    for name, value in sorted(parameters.items()):
        pairs += [name, f"text {value}" if isinstance(value, str) else f"number {value}"]
    return binding("root key", instance, slot_id, kind, *pairs)


def _checksum(aad: bytes, wrapped: bytes) -> bytes:
    return sha256(aad + wrapped).digest()[:CHECKSUM_BYTES]


def _read(path: str, *, private: bool) -> bytes:
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode  # of the open file: a name could be swapped in between
            if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SealError(f"refused: others may read or write {path}; run `chmod 600 {path}`")
            return file.read(FILE_LIMIT)
    except OSError as error:
        raise SealError(f"missing secret: {path} cannot be read ({error.strerror}); put it back") from None


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
