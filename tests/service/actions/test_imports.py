"""Imported key material: what is taken and what is refused, how it is lost, and how it comes back."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from typing_extensions import override

from keystead.core.importing import OFFER_SECONDS, ImportOffer, read_token
from keystead.core.key import Key, Origin, Rotation, State, Version
from keystead.core.names import KeyReference
from keystead.core.ports import Material, Wrapped
from keystead.core.principal import user_arn
from keystead.crypto.secret import Secret
from keystead.custody.software import SoftwareCustodian
from keystead.service.commands import Command
from keystead.service.commands import kms as c
from keystead.service.due import due
from keystead.service.results.kms import ImportParameters
from keystead.testing.installation import ACCOUNT, EVERYTHING, REGION
from keystead.testing.service import JOBS, ServiceBench, key_arn

DAY = 86_400.0
FIRST, SECOND, THIRD = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))
NEW, EXISTING = "NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL"
OTHER_REGION = "us-east-1"


class Owner:
    """Somebody with material of their own, at an installation."""

    def __init__(self) -> None:
        self.bench = ServiceBench()
        self.key = self.make()

    @property
    def now(self) -> float:
        """The time."""
        return self.bench.house.clock.now()

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.bench.house.clock.time += seconds

    def make(self, **more: Any) -> KeyReference:
        """A key that waits for its material."""
        return self.bench.key(c.CreateKey(origin=Origin.EXTERNAL, **more))

    def offer(
        self, key: KeyReference | None = None, algorithm: str = "RSAES_OAEP_SHA_256", **more: Any
    ) -> ImportParameters:
        """Parameters for an import."""
        command = c.GetParametersForImport(key or self.key, algorithm, "RSA_2048")
        found: ImportParameters = self.bench.do(command, **more)
        return found

    def wrapped(
        self,
        material: bytes = FIRST,
        *,
        key: KeyReference | None = None,
        offer: ImportParameters | None = None,
        **more: Any,
    ) -> c.ImportKeyMaterial:
        """An import that is ready to be sent."""
        offer = offer or self.offer(key)
        return c.ImportKeyMaterial(
            key or self.key, token=offer.token, material=wrap(offer.public_key, material), **more
        )

    def bring(self, material: bytes = FIRST, **more: Any) -> str:
        """Import; the material's id."""
        found: str = self.bench.do(self.wrapped(material, **more)).material_id
        return found

    def refused(self, material: bytes = FIRST, **more: Any) -> str:
        """How an import is refused."""
        return self.bench.refusal(self.wrapped(material, **more))

    def delete(self, material_id: str | None = None) -> str:
        """Delete material; the id of what is gone."""
        found: str = self.bench.do(c.DeleteImportedKeyMaterial(self.key, material_id)).material_id
        return found

    def stored(self, key: KeyReference | None = None, region: str = REGION) -> Key:
        """The key as it is kept."""
        with self.bench.house.store.view() as view:
            found = view.key(region, (key or self.key).name)
        assert found is not None
        return found

    def state(self) -> State:
        """The key's state."""
        return self.stored().state

    def versions(self, region: str = REGION) -> list[Version]:
        """All versions that are kept."""
        with self.bench.house.store.view() as view:
            return view.versions(region, self.key.name, 0, 100)

    def offered(self, offer: ImportParameters) -> ImportOffer | None:
        """What is kept of an offer."""
        with self.bench.house.store.view() as view:
            return view.import_offer(read_token(offer.token).id)


def wrap(public_key: bytes, material: bytes) -> bytes:
    """Material under RSAES_OAEP_SHA_256."""
    public: Any = serialization.load_der_public_key(public_key)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    return bytes(public.encrypt(material, oaep))


@pytest.fixture
def owner() -> Owner:
    """An owner with a key that waits."""
    return Owner()


# --- the offer ---------------------------------------------------------------------------------------------


def test_an_offer_is_for_a_day_and_keeps_its_private_key_wrapped(owner: Owner) -> None:
    """The token names it and says nothing else; what is stored opens only through custody."""
    offer = owner.offer()
    kept = owner.offered(offer)
    assert kept is not None
    assert kept == ImportOffer(
        id=read_token(offer.token).id,
        region=REGION,
        key_id=owner.key.name,
        principal=user_arn(ACCOUNT, "admin"),
        algorithm="RSAES_OAEP_SHA_256",
        wrapping_spec="RSA_2048",
        handle=kept.handle,
        valid_to=owner.now + OFFER_SECONDS,
    )
    assert offer.valid_to == owner.now + OFFER_SECONDS
    assert offer.key.arn == key_arn(owner.key)
    public: Any = serialization.load_der_public_key(offer.public_key)
    assert public.key_size == 2048
    assert kept.handle.startswith("software:RSA_2048:")


def test_an_offer_needs_a_key_whose_material_comes_from_outside(owner: Owner) -> None:
    """Other origins are refused, whatever the state, and before the wrapping key is made."""
    made_here = owner.bench.key()
    told = (
        f"UnsupportedOperation: {key_arn(made_here)} origin is AWS_KMS which is not valid for this operation."
    )
    command = c.GetParametersForImport(made_here, "RSAES_OAEP_SHA_256", "RSA_2048")
    assert owner.bench.refusal(command) == told
    owner.bench.do(c.ScheduleKeyDeletion(made_here))
    assert owner.bench.refusal(command) == told
    owner.bench.do(c.ScheduleKeyDeletion(owner.key))
    told = f"InvalidKeyState: {key_arn(owner.key)} is pending deletion."
    command = c.GetParametersForImport(owner.key, "RSAES_OAEP_SHA_256", "RSA_2048")
    assert owner.bench.refusal(command) == told


def test_an_offer_needs_permission(owner: Owner) -> None:
    """Each of the three operations has its own, and it is asked before anything else."""
    owner.bench.house.user("mallory")
    for command in (
        c.GetParametersForImport(owner.key, "RSAES_OAEP_SHA_256", "RSA_2048"),
        c.ImportKeyMaterial(owner.key, b"", b""),
        c.DeleteImportedKeyMaterial(owner.key),
    ):
        told = owner.bench.refusal(command, who="mallory")
        assert f"is not authorized to perform: kms:{type(command).__name__} on" in told


def test_a_wrapping_that_the_material_has_not_is_refused(owner: Owner) -> None:
    """As AWS documents it for each kind of key; see also `tests/core/test_importing.py`."""
    command = c.GetParametersForImport(owner.key, "RSA_AES_KEY_WRAP_SHA_256", "RSA_2048")
    assert owner.bench.refusal(command) == (
        "UnsupportedOperation: WrappingAlgorithm RSA_AES_KEY_WRAP_SHA_256 is not supported for key material of "
        "KeySpec SYMMETRIC_DEFAULT."
    )


def test_several_offers_may_be_open_and_each_is_good_once(owner: Owner) -> None:
    """A second offer leaves the first alone; what was used is gone, and its wrapping key with it."""
    first, second = owner.offer(), owner.offer()
    owner.bring(offer=second)
    assert owner.offered(second) is None
    assert owner.offered(first) is not None
    used = "InvalidImportToken: The import token is not one that this service gave out, or was used already."
    assert owner.refused(offer=second) == used
    owner.bring(offer=first)
    assert owner.refused(offer=first) == used


def test_old_offers_are_removed_at_the_next_request(owner: Owner) -> None:
    """Whoever asks for another, or imports, sweeps out those that have expired."""
    first = owner.offer()
    owner.later(OFFER_SECONDS + 1)
    second = owner.offer()
    assert owner.offered(first) is None
    assert owner.offered(second) is not None
    other = owner.make()
    owner.later(OFFER_SECONDS / 2)
    third = owner.offer(other)
    owner.later(OFFER_SECONDS / 2 + 1)
    owner.bring(key=other, offer=third)
    assert owner.offered(second) is None


# --- the token ---------------------------------------------------------------------------------------------


def test_a_token_is_bound_to_its_key_and_its_principal(owner: Owner) -> None:
    """For another key, another principal or another Region it is no token, and it is still good for its own."""
    owner.bench.house.user("alice", EVERYTHING)
    offer = owner.offer()
    other = owner.make()
    told = "InvalidImportToken: The import token is for another key or another principal."
    assert owner.refused(key=other, offer=offer) == told
    assert owner.bench.refusal(owner.wrapped(offer=offer), who="alice") == told
    owner.bring(offer=offer)


@pytest.mark.parametrize(
    "token", [b"", b"x", b"KSI\x01", b"KSI\x02" + bytes(24), bytes(28), b"KSI\x01" + bytes(25)]
)
def test_what_is_no_token_is_refused(owner: Owner, token: bytes) -> None:
    """Whatever its length and form."""
    told = "InvalidImportToken: The import token is not one that this service gave out."
    assert owner.bench.refusal(c.ImportKeyMaterial(owner.key, token, b"x")) == told


def test_a_token_expires_after_a_day(owner: Owner) -> None:
    """To the moment, and also when the offer is gone by then; one that was never given out is never old."""
    offer = owner.offer()
    command = owner.wrapped(offer=offer)
    told = "ExpiredImportToken: The import token has expired: ask for another with GetParametersForImport."
    owner.later(OFFER_SECONDS)
    assert owner.bench.refusal(command) == told
    owner.later(1)
    owner.offer()
    assert owner.offered(offer) is None
    assert owner.bench.refusal(command) == told


def test_a_failed_import_leaves_the_token_good(owner: Owner) -> None:
    """Only a success uses it up."""
    offer = owner.offer()
    assert (
        owner.bench.refusal(c.ImportKeyMaterial(owner.key, offer.token, b"x" * 256)) == "InvalidCiphertext: "
    )
    assert owner.refused(b"short", offer=offer) == "InvalidCiphertext: "
    owner.bring(offer=offer)
    assert owner.state() is State.ENABLED


# --- the import --------------------------------------------------------------------------------------------


def test_a_key_waits_for_its_material_and_then_works(owner: Owner) -> None:
    """PendingImport refuses every use; after the import it encrypts, and the record names the version."""
    waiting = owner.bench.do(c.DescribeKey(owner.key))
    assert (waiting.key.state, waiting.material_id) == (State.PENDING_IMPORT, "")
    told = f"InvalidKeyState: {key_arn(owner.key)} is pending import."
    assert owner.bench.refusal(c.Encrypt(owner.key, b"x")) == told
    material_id = owner.bring()
    assert (owner.bench.records[-1].action, owner.bench.records[-1].version) == ("kms:ImportKeyMaterial", 1)
    found = owner.bench.do(c.DescribeKey(owner.key))
    assert (found.key.state, found.material_id, found.key.expires) == (State.ENABLED, material_id, None)
    sealed = owner.bench.do(c.Encrypt(owner.key, b"x"))
    assert owner.bench.do(c.Decrypt(sealed.blob)).plaintext == b"x"
    assert owner.versions()[0].rotation is Rotation.FIRST


def test_an_import_needs_a_state_that_allows_it(owner: Owner) -> None:
    """The state is looked at before the token."""
    owner.bench.do(c.ScheduleKeyDeletion(owner.key))
    told = f"InvalidKeyState: {key_arn(owner.key)} is pending deletion."
    assert owner.bench.refusal(c.ImportKeyMaterial(owner.key, b"no token", b"x")) == told


def test_an_import_into_a_key_of_our_own_making_is_refused(owner: Owner) -> None:
    """Its origin is looked at before the token, and the same for taking material away."""
    made_here = owner.bench.key()
    told = (
        f"UnsupportedOperation: {key_arn(made_here)} origin is AWS_KMS which is not valid for this operation."
    )
    assert owner.bench.refusal(c.ImportKeyMaterial(made_here, b"no token", b"x")) == told
    assert owner.bench.refusal(c.DeleteImportedKeyMaterial(made_here)) == told


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (0, "InvalidRequest: ValidTo must be in the future"),
        (-1, "InvalidRequest: ValidTo must be in the future"),
        (365 * DAY + 1, "InvalidRequest: ValidTo must be at most 365 days in the future"),
    ],
)
def test_an_end_that_material_may_not_have_is_refused(owner: Owner, ahead: float, told: str) -> None:
    """Later than now, and 365 days at most."""
    assert owner.refused(valid_to=owner.now + ahead) == told


def test_material_may_end_in_a_year(owner: Owner) -> None:
    """365 days to the second; it is the key's own end while it has no other material."""
    owner.bring(valid_to=owner.now + 365 * DAY)
    assert owner.stored().expires == owner.now + 365 * DAY


def test_the_same_material_may_be_brought_again(owner: Owner) -> None:
    """It gets another end; the handle stays, since others may be using it; its description too unless given."""
    material_id = owner.bring(valid_to=owner.now + DAY, description="first")
    handle = owner.versions()[0].handle
    assert owner.bring() == material_id
    (version,) = owner.versions()
    assert (version.handle, version.valid_to, version.description) == (handle, None, "first")
    assert owner.stored().expires is None
    assert owner.bring(kind=EXISTING, material_id=material_id, description="again") == material_id
    assert owner.versions()[0].description == "again"
    owner.bench.do(c.DisableKey(owner.key))
    owner.bring()
    assert owner.state() is State.DISABLED


def test_other_material_is_not_the_same(owner: Owner) -> None:
    """Without an ImportType, a key that has had material takes nothing else; nor does one that has had none, as old."""
    owner_told = (
        f"IncorrectKeyMaterial: The key material has not been imported into {key_arn(owner.key)} before."
    )
    assert owner.refused(FIRST, kind=EXISTING) == owner_told
    owner.bring(FIRST)
    assert owner.refused(SECOND) == owner_told
    owner.delete()
    assert owner.refused(SECOND) == owner_told
    assert owner.refused(SECOND, kind=EXISTING) == owner_told
    owner.bring(FIRST)
    assert owner.state() is State.ENABLED


def test_a_named_material_must_be_that_one(owner: Owner) -> None:
    """The id is compared with what was sent; it cannot be given for what is new."""
    first = owner.bring(FIRST)
    told = owner.refused(SECOND, material_id=first)
    assert told.startswith("IncorrectKeyMaterial: The key material (id: ")
    assert told.endswith(f") is not the one that was named (id: {first}).")
    assert owner.refused(SECOND, kind=NEW, material_id=first) == (
        "InvalidRequest: KeyMaterialId cannot be specified with an ImportType of NEW_KEY_MATERIAL"
    )


# --- a second material -------------------------------------------------------------------------------------


def test_new_material_waits_for_the_rotation(owner: Owner) -> None:
    """The current one stays current until RotateKeyOnDemand; then both open what they have sealed."""
    first = owner.bring(FIRST)
    old = owner.bench.do(c.Encrypt(owner.key, b"old")).blob
    second = owner.bring(SECOND, kind=NEW, description="next")
    assert second != first
    assert owner.bench.do(c.DescribeKey(owner.key)).material_id == first
    assert [(v.number, v.rotation, v.description) for v in owner.versions()] == [
        (1, Rotation.FIRST, ""),
        (2, Rotation.PENDING, "next"),
    ]
    owner.later(5)
    rotated = owner.bench.do(c.RotateKeyOnDemand(owner.key)).key
    assert (rotated.current_version, rotated.rotations_on_demand) == (2, 1)
    assert owner.bench.records[-1].version == 2
    assert (owner.versions()[1].rotation, owner.versions()[1].rotated) == (Rotation.ON_DEMAND, owner.now)
    assert owner.bench.do(c.DescribeKey(owner.key)).material_id == second
    new = owner.bench.do(c.Encrypt(owner.key, b"new")).blob
    assert [owner.bench.do(c.Decrypt(blob)).material_id for blob in (old, new)] == [first, second]


def test_a_third_material_is_refused_while_one_waits(owner: Owner) -> None:
    """In AWS's words; after the rotation there is room again, and what was ever imported is not new."""
    first, second = owner.bring(FIRST), owner.bring(SECOND, kind=NEW)
    told = owner.refused(THIRD, kind=NEW)
    assert told.startswith("InvalidKeyState: New key material (id: ")
    assert told.endswith(
        f") cannot be imported into KMS key {key_arn(owner.key)}, because another key material (id: {second}) is "
        "pending rotation."
    )
    assert owner.bring(SECOND, kind=EXISTING) == second
    assert len(owner.versions()) == 2
    owner.bench.do(c.RotateKeyOnDemand(owner.key))
    for material, material_id in ((FIRST, first), (SECOND, second)):
        assert owner.refused(material, kind=NEW) == (
            f"IncorrectKeyMaterial: The key material (id: {material_id}) has been imported into "
            f"{key_arn(owner.key)} before: it is not new."
        )
    owner.bring(THIRD, kind=NEW)
    assert owner.bench.do(c.RotateKeyOnDemand(owner.key)).key.current_version == 3


def test_a_rotation_needs_material_that_waits(owner: Owner) -> None:
    """In AWS's words, with none at first and none any more; the limit comes before."""
    told = f"InvalidKeyState: No available key material pending rotation for the key: {key_arn(owner.key)}."
    owner.bring()
    assert owner.bench.refusal(c.RotateKeyOnDemand(owner.key)) == told
    owner.bring(SECOND, kind=NEW)
    owner.bench.do(c.RotateKeyOnDemand(owner.key))
    assert owner.bench.refusal(c.RotateKeyOnDemand(owner.key)) == told


def test_pending_material_may_be_taken_back(owner: Owner) -> None:
    """It never was the key's: the key goes on, forgets it, and takes other in its place, or the same as new."""
    owner.bring(FIRST)
    second = owner.bring(SECOND, kind=NEW)
    assert owner.delete(second) == second
    assert owner.state() is State.ENABLED
    assert owner.refused(SECOND, kind=EXISTING).startswith("IncorrectKeyMaterial")
    told = f"Key material (id: {second}) is not associated with the key: {key_arn(owner.key)}."
    command = c.DeleteImportedKeyMaterial(owner.key, second)
    assert owner.bench.refusal(command) == f"UnsupportedOperation: {told}"
    owner.bring(THIRD, kind=NEW)
    owner.bench.do(c.RotateKeyOnDemand(owner.key))
    assert owner.bring(SECOND, kind=NEW) == second
    assert owner.bench.do(c.RotateKeyOnDemand(owner.key)).key.current_version == 4
    listed = owner.bench.do(c.ListKeyRotations(owner.key, all_material=True)).versions
    assert [version.number for version in listed] == [1, 3, 4]


def test_pending_material_that_has_expired_is_gone(owner: Owner) -> None:
    """The key does not rotate to it and is not held up by it; new material takes its place and destroys it."""
    owner.bring(FIRST)
    owner.bring(SECOND, kind=NEW, valid_to=owner.now + DAY)
    assert owner.stored().expires is None
    owner.later(DAY)
    assert owner.bench.do(c.Encrypt(owner.key, b"x")).blob
    told = f"InvalidKeyState: No available key material pending rotation for the key: {key_arn(owner.key)}."
    assert owner.bench.refusal(c.RotateKeyOnDemand(owner.key)) == told
    assert owner.refused(SECOND, kind=EXISTING).startswith("IncorrectKeyMaterial")
    assert [v.number for v in owner.bench.do(c.ListKeyRotations(owner.key, all_material=True)).versions] == [
        1
    ]
    owner.bring(SECOND, kind=NEW)
    assert [bool(version.handle) for version in owner.versions()] == [True, False, True]
    assert owner.bench.do(c.RotateKeyOnDemand(owner.key)).key.current_version == 3


# --- the loss ----------------------------------------------------------------------------------------------


def test_deleted_material_is_erased_and_can_come_back(owner: Owner) -> None:
    """The key is PendingImport and useless at once; the same bytes make it whole, and old ciphertexts open."""
    material_id = owner.bring(valid_to=owner.now + DAY)
    sealed = owner.bench.do(c.Encrypt(owner.key, b"x")).blob
    assert owner.delete() == material_id
    assert owner.bench.records[-1].version == 1
    (version,) = owner.versions()
    assert (version.handle, version.valid_to, version.material_id) == ("", None, material_id)
    assert (owner.state(), owner.stored().expires) == (State.PENDING_IMPORT, None)
    assert owner.bench.do(c.DescribeKey(owner.key)).material_id == material_id
    told = f"InvalidKeyState: {key_arn(owner.key)} is pending import."
    assert owner.bench.refusal(c.Decrypt(sealed)) == told
    assert owner.delete() == material_id
    owner.bring()
    assert owner.state() is State.ENABLED
    assert owner.bench.do(c.Decrypt(sealed)).plaintext == b"x"


def test_deleting_from_a_key_that_has_never_had_material_has_no_effect(owner: Owner) -> None:
    """It succeeds, names no material and changes nothing."""
    assert owner.delete() == ""
    assert (owner.state(), owner.versions()) == (State.PENDING_IMPORT, [])


def test_a_key_needs_all_materials_that_it_has_rotated_to(owner: Owner) -> None:
    """An old one that is missing is missed as much as the current one; all must be back, in whatever order."""
    first = owner.bring(FIRST)
    second = owner.bring(SECOND, kind=NEW)
    owner.bench.do(c.RotateKeyOnDemand(owner.key))
    owner.bring(THIRD, kind=NEW)
    sealed = owner.bench.do(c.Encrypt(owner.key, b"x")).blob
    assert owner.delete(first) == first
    assert owner.state() is State.PENDING_IMPORT
    assert owner.delete(second) == second
    owner.bring(SECOND)
    assert owner.state() is State.PENDING_IMPORT
    assert owner.bench.refusal(c.Decrypt(sealed)).startswith("InvalidKeyState")
    owner.bring(FIRST, material_id=first)
    assert owner.state() is State.ENABLED
    assert owner.bench.do(c.Decrypt(sealed)).plaintext == b"x"


def test_a_key_that_loses_its_material_while_it_waits_for_its_end(owner: Owner) -> None:
    """It goes on waiting; kept after all it is PendingImport, while one that has its material is Disabled."""
    owner.bring()
    owner.bench.do(c.ScheduleKeyDeletion(owner.key))
    owner.bench.do(c.CancelKeyDeletion(owner.key))
    assert owner.state() is State.DISABLED
    owner.bench.do(c.ScheduleKeyDeletion(owner.key))
    owner.delete()
    assert owner.state() is State.PENDING_DELETION
    owner.bench.do(c.CancelKeyDeletion(owner.key))
    assert owner.state() is State.PENDING_IMPORT
    never = owner.make()
    owner.bench.do(c.ScheduleKeyDeletion(never))
    assert owner.bench.do(c.CancelKeyDeletion(never)).key.state is State.PENDING_IMPORT


def test_a_disabled_key_that_gets_its_material_back_is_enabled(owner: Owner) -> None:
    """As in AWS's table: the loss makes it PendingImport, and the import makes that Enabled."""
    owner.bring()
    owner.bench.do(c.DisableKey(owner.key))
    owner.delete()
    assert owner.state() is State.PENDING_IMPORT
    owner.bring()
    assert owner.state() is State.ENABLED


def test_material_expires(owner: Owner) -> None:
    """From its end on the key is useless; then the job erases the material, once, and is on record."""
    owner.bring(valid_to=owner.now + DAY)
    left = owner.offer()
    sealed = owner.bench.do(c.Encrypt(owner.key, b"x")).blob
    told = f"InvalidKeyState: {key_arn(owner.key)} has no key material that has expired."
    command = c.ExpireKeyMaterial(owner.key)
    assert owner.bench.refusal(command, JOBS) == told
    owner.later(DAY - 1)
    assert due(owner.bench.house.store, owner.now, 10) == []
    assert owner.bench.do(c.Decrypt(sealed)).plaintext == b"x"
    owner.later(1)
    pending = f"InvalidKeyState: {key_arn(owner.key)} is pending import."
    assert owner.bench.refusal(c.Decrypt(sealed)) == pending
    assert owner.bench.refusal(c.RotateKeyOnDemand(owner.key)) == pending
    owner.later(1)
    (work,) = due(owner.bench.house.store, owner.now, 10)
    assert work.command == command
    owner.bench.do(work.command, JOBS)
    record = owner.bench.records[-1]
    assert (record.action, record.version, record.outcome) == ("keystead:ExpireKeyMaterial", 1, "Success")
    assert (owner.state(), owner.stored().expires, owner.versions()[0].handle) == (
        State.PENDING_IMPORT,
        None,
        "",
    )
    assert owner.offered(left) is None
    assert due(owner.bench.house.store, owner.now, 10) == []
    assert owner.bench.refusal(command, JOBS) == told
    owner.bring()
    assert owner.bench.do(c.Decrypt(sealed)).plaintext == b"x"


def test_a_key_ends_with_the_first_of_its_materials(owner: Owner) -> None:
    """The earliest end counts, of an old material too; pending material begins to count with the rotation."""
    owner.bring(FIRST, valid_to=owner.now + 9 * DAY)
    owner.bring(SECOND, kind=NEW, valid_to=owner.now + 5 * DAY)
    assert owner.stored().expires == owner.now + 9 * DAY
    owner.bench.do(c.RotateKeyOnDemand(owner.key))
    assert owner.stored().expires == owner.now + 5 * DAY
    owner.bring(THIRD, kind=NEW, valid_to=owner.now + DAY)
    owner.later(5 * DAY)
    owner.bench.do(c.ExpireKeyMaterial(owner.key), JOBS)
    assert [bool(version.handle) for version in owner.versions()] == [True, False, False]
    assert owner.stored().expires == owner.now + 4 * DAY
    assert owner.state() is State.PENDING_IMPORT
    owner.later(4 * DAY)
    owner.bench.do(c.ExpireKeyMaterial(owner.key), JOBS)
    assert [bool(version.handle) for version in owner.versions()] == [False, False, False]


def test_expired_material_that_waits_is_erased_when_the_job_is_asked_for_it(owner: Owner) -> None:
    """The key does not mind: it never was its own."""
    owner.bring(FIRST)
    owner.bring(SECOND, kind=NEW, valid_to=owner.now + DAY)
    owner.later(DAY)
    owner.bench.do(c.ExpireKeyMaterial(owner.key), JOBS)
    assert [bool(version.handle) for version in owner.versions()] == [True, False]
    assert owner.state() is State.ENABLED


# --- other kinds of keys -----------------------------------------------------------------------------------


def test_an_hmac_key_has_one_material_for_ever(owner: Owner) -> None:
    """Of its own length; it is checked like a symmetric one's, but takes neither type, description nor id."""
    key = owner.make(spec="HMAC_384", usage="GENERATE_VERIFY_MAC")
    assert owner.refused(bytes(32), key=key) == "InvalidCiphertext: "
    owner.bring(bytes(48), key=key)
    coded = owner.bench.do(c.GenerateMac(key, b"x", "HMAC_SHA_384"))
    assert owner.bench.do(c.VerifyMac(key, b"x", coded.mac, "HMAC_SHA_384"))
    assert owner.refused(bytes(47) + b"x", key=key).startswith("IncorrectKeyMaterial")
    for more in ({"kind": NEW}, {"kind": EXISTING}, {"description": ""}, {"material_id": "0" * 64}):
        assert owner.refused(bytes(48), key=key, **more) == (
            "UnsupportedOperation: ImportType, KeyMaterialDescription and KeyMaterialId can be specified for "
            "symmetric encryption keys only."
        )
    assert owner.bring(bytes(48), key=key)


def test_an_asymmetric_key_is_the_one_that_was_imported(owner: Owner) -> None:
    """Its public key is that of the owner's private key, also after the material was away."""
    private = ec.generate_private_key(ec.SECP256R1())
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key = owner.make(spec="ECC_NIST_P256", usage="SIGN_VERIFY")
    offer = owner.offer(key, "RSA_AES_KEY_WRAP_SHA_256")
    kek = bytes(range(32))
    wrapped = wrap(offer.public_key, kek) + aes_key_wrap_with_padding(kek, der)
    owner.bench.do(c.ImportKeyMaterial(key, offer.token, wrapped))
    assert owner.bench.do(c.GetPublicKey(key)).public_key == public
    signed = owner.bench.do(c.Sign(key, b"x", "ECDSA_SHA_256")).signature
    private.public_key().verify(signed, b"x", ec.ECDSA(hashes.SHA256()))
    owner.bench.do(c.DeleteImportedKeyMaterial(key))
    owner.bring(der, key=key)
    assert owner.bench.do(c.GetPublicKey(key)).public_key == public
    with owner.bench.house.store.view() as view:
        (version,) = view.versions(REGION, key.name, 0, 10)
    assert version.public_key == b64encode(public).decode()


# --- multi-Region keys -------------------------------------------------------------------------------------


class Family(Owner):
    """The owner of a multi-Region key with a replica that waits for its material."""

    def __init__(self) -> None:
        super().__init__()
        self.key = self.make(multi_region=True)
        self.first = self.bring(FIRST)

    def replicate(self) -> None:
        """Make the replica."""
        self.bench.do(c.ReplicateKey(self.key, OTHER_REGION))

    def there(self, material: bytes, **more: Any) -> c.ImportKeyMaterial:
        """An import into the replica."""
        offer = self.offer(region=OTHER_REGION)
        return self.wrapped(material, offer=offer, **more)


@pytest.fixture
def family() -> Family:
    """The owner of a multi-Region key."""
    return Family()


def test_a_replica_takes_its_primarys_material_only(family: Family) -> None:
    """Each member imports by itself; then ciphertexts of one open in the other."""
    family.replicate()
    arn = key_arn(family.key, OTHER_REGION)
    told = f"IncorrectKeyMaterial: The key material has not been imported into {arn} before."
    assert family.bench.refusal(family.there(SECOND), region=OTHER_REGION) == told
    assert family.bench.refusal(family.there(SECOND, kind=NEW), region=OTHER_REGION) == (
        f"UnsupportedOperation: New key material cannot be imported into {arn}, "
        "which is a multi-Region replica key."
    )
    assert family.bench.do(family.there(FIRST), region=OTHER_REGION).material_id == family.first
    assert family.stored(region=OTHER_REGION).state is State.ENABLED
    sealed = family.bench.do(c.Encrypt(family.key, b"x")).blob
    assert family.bench.do(c.Decrypt(sealed), region=OTHER_REGION).plaintext == b"x"


def test_a_replica_needs_all_that_its_primary_has_rotated_to(family: Family) -> None:
    """With one of two it waits still; with both it is on the primary's current one."""
    family.bring(SECOND, kind=NEW)
    family.bench.do(c.RotateKeyOnDemand(family.key))
    family.replicate()
    family.bench.do(family.there(SECOND), region=OTHER_REGION)
    assert family.stored(region=OTHER_REGION).state is State.PENDING_IMPORT
    family.bench.do(family.there(FIRST), region=OTHER_REGION)
    replica = family.stored(region=OTHER_REGION)
    assert (replica.state, replica.current_version) == (State.ENABLED, 2)
    assert [(v.number, v.rotation) for v in family.versions(OTHER_REGION)] == [
        (1, Rotation.FIRST),
        (2, Rotation.ON_DEMAND),
    ]


def test_a_primary_rotates_with_its_replicas_once_all_have_the_material(family: Family) -> None:
    """Until then it is refused; the replica cannot rotate by itself."""
    family.replicate()
    family.bench.do(family.there(FIRST), region=OTHER_REGION)
    second = family.bring(SECOND, kind=NEW)
    assert family.bench.refusal(c.RotateKeyOnDemand(family.key)) == (
        f"InvalidKeyState: The key material (id: {second}) pending rotation of {key_arn(family.key)} has not been "
        f"imported into its replica {key_arn(family.key, OTHER_REGION)}."
    )
    family.bench.do(family.there(SECOND), region=OTHER_REGION)
    assert family.bench.refusal(c.RotateKeyOnDemand(family.key), region=OTHER_REGION) == (
        f"UnsupportedOperation: {key_arn(family.key, OTHER_REGION)} is not a multi-region primary key."
    )
    assert family.bench.do(c.RotateKeyOnDemand(family.key)).key.current_version == 2
    assert family.stored(region=OTHER_REGION).current_version == 2
    sealed = family.bench.do(c.Encrypt(family.key, b"x"), region=OTHER_REGION).blob
    assert family.bench.do(c.Decrypt(sealed)).material_id == second


def test_what_waits_for_replicas_is_listed_as_such(family: Family) -> None:
    """Until all have it; taken back from the primary it is taken from the replicas too."""
    family.replicate()
    family.bench.do(family.there(FIRST), region=OTHER_REGION)
    listing = c.ListKeyRotations(family.key, all_material=True)
    assert not family.bench.do(listing).awaits_replicas
    second = family.bring(SECOND, kind=NEW)
    assert family.bench.do(listing).awaits_replicas
    assert family.delete(second) == second
    assert family.state() is State.ENABLED
    family.bring(SECOND, kind=NEW)
    family.bench.do(family.there(SECOND), region=OTHER_REGION)
    assert not family.bench.do(listing).awaits_replicas
    family.delete(second)
    assert [bool(version.handle) for version in family.versions(OTHER_REGION)] == [True, False]
    assert family.stored(region=OTHER_REGION).state is State.ENABLED


def test_a_number_that_was_only_pending_once_is_another_materials_after_a_move(family: Family) -> None:
    """The old primary, a replica now, takes what the new one says that number is."""
    family.replicate()
    family.bench.do(family.there(FIRST), region=OTHER_REGION)
    second = family.bring(SECOND, kind=NEW)
    family.delete(second)
    family.bench.do(c.UpdatePrimaryRegion(family.key, OTHER_REGION))
    third = family.bench.do(family.there(THIRD, kind=NEW), region=OTHER_REGION).material_id
    assert family.bring(THIRD) == third
    assert [version.material_id for version in family.versions()] == [family.first, third]
    family.bench.do(c.RotateKeyOnDemand(family.key), region=OTHER_REGION)
    sealed = family.bench.do(c.Encrypt(family.key, b"x"), region=OTHER_REGION).blob
    assert family.bench.do(c.Decrypt(sealed)).material_id == third


def test_a_replica_of_a_primary_that_is_kept_elsewhere_goes_by_its_own_rows(family: Family) -> None:
    """It takes the materials that it was told of."""
    family.replicate()
    with family.bench.house.store.transact("elsewhere") as tx:
        replica = tx.key(OTHER_REGION, family.key.name)
        assert replica is not None
        tx.put_key(replace(replica, members=("ap-south-1", OTHER_REGION)))
    told = family.bench.refusal(family.there(SECOND), region=OTHER_REGION)
    assert told.startswith("IncorrectKeyMaterial")
    family.bench.do(family.there(FIRST), region=OTHER_REGION)
    assert family.stored(region=OTHER_REGION).state is State.ENABLED


# --- what happens meanwhile --------------------------------------------------------------------------------


class Interrupted(SoftwareCustodian):
    """A custodian that lets somebody else in between an import's two parts, and notes what it is told to destroy."""

    def __init__(self, owner: Owner, others: Sequence[Command]) -> None:
        house = owner.bench.house
        super().__init__(Secret(bytes(32)), house.random)
        with house.store.view() as view:
            for account, wrapped in view.account_keys().items():
                self.admit(account, wrapped)
        self.owner, self.others = owner, list(others)
        self.taken: list[str] = []
        self.destroyed: list[str] = []

    @override
    def take(self, account: str, binding: bytes, spec: str, wrapped: Wrapped) -> Material:
        """Take charge, then let the others in, once."""
        material = super().take(account, binding, spec, wrapped)
        self.taken.append(material.handle)
        while self.others:
            self.owner.bench.do(self.others.pop(0))
        return material

    @override
    def destroy(self, account: str, handle: str) -> None:
        """Destroy, and note it."""
        self.destroyed.append(handle)
        super().destroy(account, handle)


def interrupted(owner: Owner, *others: Command) -> tuple[ServiceBench, Interrupted]:
    """Another process, whose first import is interrupted."""
    custodian = Interrupted(owner, others)
    house = owner.bench.house
    usual, house.custodian = house.custodian, custodian
    process = ServiceBench(house, "w1")
    house.custodian = usual
    return process, custodian


def test_material_whose_number_is_given_away_meanwhile_is_taken_anew(owner: Owner) -> None:
    """It gets the next number, under which it opens; what was kept for the first number is destroyed."""
    owner.bring(FIRST)
    mine = owner.wrapped(THIRD, kind=NEW)
    process, custodian = interrupted(owner, owner.wrapped(SECOND, kind=NEW), c.RotateKeyOnDemand(owner.key))
    material_id = process.do(mine).material_id
    version = owner.versions()[2]
    assert (version.material_id, version.handle) == (material_id, custodian.taken[1])
    assert custodian.taken[0] in custodian.destroyed
    owner.bench.do(c.RotateKeyOnDemand(owner.key))
    sealed = owner.bench.do(c.Encrypt(owner.key, b"x")).blob
    assert process.do(c.Decrypt(sealed)).material_id == material_id


def test_material_that_is_refused_in_the_end_is_destroyed(owner: Owner) -> None:
    """Another import came in between, and now there is no room."""
    owner.bring(FIRST)
    mine = owner.wrapped(THIRD, kind=NEW)
    process, custodian = interrupted(owner, owner.wrapped(SECOND, kind=NEW))
    assert process.refusal(mine).startswith("InvalidKeyState: New key material")
    assert custodian.destroyed == custodian.taken
    assert len(custodian.taken) == 1


def test_a_dry_run_destroys_no_material(owner: Owner) -> None:
    """The custodian is not even asked to: what it has erased would not come back with the transaction."""
    owner.bring()
    with owner.bench.house.store.transact("elsewhere") as tx:
        version = tx.version(REGION, owner.key.name, 1)
        assert version is not None
        tx.put_version(replace(version, handle="of-another-custodian"))
    caller = owner.bench.caller()
    caller.dry_run = True
    assert owner.bench.refusal(c.DeleteImportedKeyMaterial(owner.key), caller).startswith("DryRun")
    assert owner.bench.refusal(c.DeleteImportedKeyMaterial(owner.key)).startswith("DataDamaged")
