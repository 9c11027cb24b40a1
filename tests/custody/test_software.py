import gc
import hmac
import pickle
import re
from collections.abc import Callable

import pytest

from keystead.core.errors import ConfigError, CustodyUnavailable, DataDamaged
from keystead.core.ports import Custodian
from keystead.crypto.committing import CommittingCipher
from keystead.crypto.keywrap import binding as bind
from keystead.crypto.keywrap import to_text, wrap
from keystead.crypto.random import system_random
from keystead.crypto.secret import Secret
from keystead.custody import connect as connect_url
from keystead.custody import schemes
from keystead.custody.software import SoftwareCustodian
from keystead.testing.contracts.custody import BINDING, OURS, CustodyContract

ROOT = Secret(bytes(range(32)))


class TestSoftware(CustodyContract):
    """Software custody keeps the contract."""

    @pytest.fixture
    def connect(self) -> Callable[[], Custodian]:
        """Custodians on one root, as the processes of one server have."""
        return lambda: connect_url("software:", root=ROOT, random=system_random)


def test_material_has_the_id_that_it_derives() -> None:
    """The id is HKDF-SHA256 of the material, so that equal material is told to be equal anywhere."""
    material = b"material of 32 bytes, all known."
    known = SoftwareCustodian(ROOT, lambda count: material[:count])
    known.admit(OURS, known.enroll(OURS))

    material_id = known.generate(OURS, BINDING).id

    extracted = hmac.digest(bytes(32), material, "sha256")
    assert material_id == hmac.digest(extracted, b"keystead material id v1\x01", "sha256").hex()


def test_another_root_admits_no_account() -> None:
    """An installation that was opened with the wrong root notices at the first account, and says so."""
    wrapped = SoftwareCustodian(ROOT, system_random).enroll(OURS)

    with pytest.raises(DataDamaged, match=r"account key of account 111111111111 does not open.*root key"):
        SoftwareCustodian(Secret(bytes(32)), system_random).admit(OURS, wrapped)


def test_an_account_key_admitted_anew_leaves_the_old_handles_closed() -> None:
    """Handles hang on their account's key-encryption key: replacing it is how an account is shredded."""
    custodian = SoftwareCustodian(ROOT, system_random)
    custodian.admit(OURS, custodian.enroll(OURS))
    handle = custodian.generate(OURS, BINDING).handle

    custodian.admit(OURS, custodian.enroll(OURS))

    with pytest.raises(DataDamaged):
        custodian.cipher(OURS, handle, BINDING)


def test_a_symmetric_handle_has_the_form_that_it_always_had() -> None:
    """What was stored before there were other specs opens: purpose, account and binding, and no spec."""
    custodian = SoftwareCustodian(ROOT, system_random)
    custodian.admit(OURS, custodian.enroll(OURS))
    aad = bind("key material", OURS, BINDING)
    wrapped = wrap(custodian._keks[OURS], Secret(bytes(range(32))), aad, system_random)
    sealed = CommittingCipher(Secret(bytes(range(32))), system_random).seal(b"text", b"aad")

    assert custodian.cipher(OURS, "software:" + to_text(wrapped), BINDING).open(sealed, b"aad") == b"text"
    assert re.fullmatch("software:[A-Za-z0-9_=-]+", custodian.generate(OURS, BINDING).handle)


def test_the_handle_of_any_other_spec_names_it() -> None:
    """The spec stands in the handle, and is authenticated with it."""
    custodian = SoftwareCustodian(ROOT, system_random)
    custodian.admit(OURS, custodian.enroll(OURS))
    material = custodian.generate(OURS, BINDING, "HMAC_384")

    assert material.handle.startswith("software:HMAC_384:")
    for other in ("HMAC_256", "SYMMETRIC_DEFAULT", ""):
        with pytest.raises(DataDamaged, match="backup"):
            custodian.mac_key(OURS, material.handle.replace("HMAC_384", other), BINDING)


def test_short_randomness_makes_no_key() -> None:
    """A source that gives too little, or nothing, makes custody unavailable and not a weak key."""
    custodian = SoftwareCustodian(ROOT, system_random)
    wrapped = custodian.enroll(OURS)
    poor = SoftwareCustodian(ROOT, lambda count: bytes(count - 1))
    poor.admit(OURS, wrapped)

    with pytest.raises(CustodyUnavailable, match="31 bytes instead of 32"):
        poor.generate(OURS, BINDING)
    with pytest.raises(CustodyUnavailable, match="31 bytes instead of 32"):
        poor.enroll(OURS)


def test_key_bytes_lie_in_secrets_only() -> None:
    """What the custodian holds between calls is `Secret`s, which nothing renders or pickles."""
    custodian = SoftwareCustodian(ROOT, system_random)
    custodian.admit(OURS, custodian.enroll(OURS))

    held = [
        value
        for part in gc.get_referents(custodian)
        for value in (part.values() if isinstance(part, dict) else [part])
    ]

    assert sum(isinstance(value, Secret) for value in held) == 2
    assert not any(isinstance(value, (bytes, bytearray)) for value in held)
    with pytest.raises(TypeError, match="never copied"):
        pickle.dumps(custodian)


@pytest.mark.parametrize(
    "url", ["", "software", "pkcs11:slot=1", "seal:", "seals:", "../software:", "__init__:"]
)
def test_a_scheme_without_a_module_is_refused(url: str) -> None:
    """Only a name in the package's own listing is imported, and the text lists what there is."""
    with pytest.raises(ConfigError, match="use one of software:"):
        connect_url(url, root=ROOT, random=system_random)


def test_software_custody_takes_no_address() -> None:
    """An address that would be ignored is refused."""
    with pytest.raises(ConfigError, match="no address"):
        connect_url("software:/var/lib/keys", root=ROOT, random=system_random)


def test_the_schemes_are_the_modules() -> None:
    """A new custodian is found by being there; the seal's modules are not custodians."""
    assert schemes() == ["software"]
