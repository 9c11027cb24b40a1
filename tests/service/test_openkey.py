"""What an open key can do, and how the gate comes to one."""

import pytest

from keystead.core import blob
from keystead.core.errors import InvalidCiphertext
from keystead.core.names import KeyReference
from keystead.service.commands import kms as c
from keystead.service.gate import Gate, Visit
from keystead.service.openkey import OpenKey
from keystead.service.results.kms import KeyDescription
from keystead.service.workingset import NotLoaded, Wanted
from keystead.testing.installation import REGION, Installation


def _scene() -> tuple[Installation, Gate, str]:
    house = Installation()
    gate = house.gate("w0")
    made = house.ask(gate, c.CreateKey()).outcome()
    assert isinstance(made, KeyDescription)
    return house, gate, made.key.id


def _open(house: Installation, gate: Gate, key_id: str) -> OpenKey:
    gate.working.admit(gate.working.load(Wanted("key", key_id, region=REGION)))
    caller = house.caller("open")
    visit = Visit(gate, caller, gate._entry(caller, "kms:Decrypt"))
    return visit.use(KeyReference(key_id), "kms:Decrypt")


def test_it_seals_and_opens_under_the_same_context_only() -> None:
    """The context is part of what is authenticated; the blob names key and version."""
    house, gate, key_id = _scene()
    key = _open(house, gate, key_id)
    sealed = blob.parse(key.seal(b"plaintext", b"context"))
    assert (sealed.key_id, sealed.version, key.version) == (key_id, 1, 1)
    assert key.arn.endswith(key_id)
    assert key.open(sealed, b"context") == (b"plaintext", key.material_id)
    with pytest.raises(InvalidCiphertext):
        key.open(sealed, b"other")


def test_an_older_version_opens_what_it_sealed() -> None:
    """It is loaded when it is first needed, and says its own material id."""
    house, gate, key_id = _scene()
    first = _open(house, gate, key_id)
    sealed = blob.parse(first.seal(b"plaintext", b""))
    house.ask(gate, c.RotateKeyOnDemand(KeyReference(key_id))).outcome()
    second = _open(house, gate, key_id)
    with pytest.raises(NotLoaded) as missing:
        second.open(sealed, b"")
    assert missing.value.wanted == Wanted("version", key_id, 1, region=REGION)
    gate.working.admit(gate.working.load(missing.value.wanted))
    assert second.open(sealed, b"") == (b"plaintext", first.material_id)
    assert first.material_id != second.material_id


@pytest.mark.parametrize("number", [0, 2, 2**32 - 1])
def test_a_version_that_never_was_is_a_damaged_blob(number: int) -> None:
    """The store is not even asked: a forged number costs nothing."""
    house, gate, key_id = _scene()
    key = _open(house, gate, key_id)
    sealed = key.seal(b"plaintext", b"")
    header = blob.header(key_id, number)
    with pytest.raises(InvalidCiphertext):
        key.open(blob.parse(header + sealed[len(header) :]), b"")


def test_a_version_whose_material_is_gone_is_a_damaged_blob() -> None:
    """An erased version opens nothing, and is no error of the server's."""
    house, gate, key_id = _scene()
    sealed = blob.parse(_open(house, gate, key_id).seal(b"plaintext", b""))
    house.ask(gate, c.RotateKeyOnDemand(KeyReference(key_id))).outcome()
    key = _open(house, gate, key_id)
    with house.store.transact("erase") as tx:
        tx.erase_versions(REGION, key_id)
    gate.working.admit(gate.working.load(Wanted("version", key_id, 1, region=REGION)))
    with pytest.raises(InvalidCiphertext):
        key.open(sealed, b"")


def test_it_shows_no_key_bytes() -> None:
    """Its repr is Python's own, and it has no dictionary to look through."""
    house, gate, key_id = _scene()
    key = _open(house, gate, key_id)
    assert repr(key).startswith("<keystead.service.openkey.OpenKey object")
    assert not hasattr(key, "__dict__")
