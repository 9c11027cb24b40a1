"""An open key: the proof that the gate has let somebody use it.

Only ``gate.py`` makes one (a test reads the sources for that), after policy and state allowed it. An
action that holds an `OpenKey` may use the key and cannot get at its bytes.
"""

from typing import TYPE_CHECKING

from keystead.core.blob import Blob
from keystead.core.errors import InvalidCiphertext

if TYPE_CHECKING:
    from keystead.service.workingset import HeldKey, WorkingSet


class OpenKey:
    """One key, for one request."""

    __slots__ = ("_held", "_working")

    def __init__(self, held: "HeldKey", working: "WorkingSet") -> None:
        self._held = held
        self._working = working

    @property
    def arn(self) -> str:
        """The key's ARN."""
        return self._held.arn

    @property
    def version(self) -> int:
        """The version that `seal` uses."""
        return self._held.version

    @property
    def material_id(self) -> str:
        """The material id of that version."""
        return self._held.material_id

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """A ciphertext blob under the current version; ``context`` is canonical."""
        held = self._held
        return held.header + held.cipher.seal(plaintext, held.header + context)

    def open(self, blob: Blob, context: bytes) -> tuple[bytes, str]:
        """The plaintext of a blob of this key and the id of the material that made it.

        Raises `InvalidCiphertext`, for a version that never was as for a damaged blob.
        """
        held = self._held
        aad = blob.header + context
        if blob.version == held.version:
            return held.cipher.open(blob.sealed, aad), held.material_id
        if not 0 < blob.version < held.version:
            raise InvalidCiphertext
        material = self._working.material(held, blob.version)
        if material is None:
            raise InvalidCiphertext
        return material.cipher.open(blob.sealed, aad), material.material_id
