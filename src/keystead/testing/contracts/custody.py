"""What every custodian promises (`keystead.core.ports.Custodian`), as tests."""

import hmac
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystead.core.errors import (
    ConfigError,
    CustodyUnavailable,
    DataDamaged,
    InvalidCiphertext,
    InvalidRequest,
)
from keystead.core.ports import Custodian, Material, Wrapped
from keystead.core.spec import (
    ENCAPSULATE_DECAPSULATE,
    ENCRYPT_DECRYPT,
    GENERATE_VERIFY_MAC,
    HMAC_BYTES,
    KEY_AGREEMENT,
    SIGN_VERIFY,
    SPECS,
    SYMMETRIC,
    algorithms,
)
from keystead.crypto.importing import wrap_for
from keystead.crypto.keypair import generate
from keystead.crypto.publickey import PublicKey
from keystead.crypto.transfer import TransferIdentity

OURS, THEIRS, STRANGER = "111111111111", "222222222222", "333333333333"
P256 = "ECC_NIST_P256"
# One RSA size is enough here: making the larger ones takes seconds.
SIGNING = [
    spec for spec in SPECS if SIGN_VERIFY in SPECS[spec].usages and spec not in {"RSA_3072", "RSA_4096"}
]
BINDING, OTHER_BINDING = b"key 1, version 1, material", b"key 1, version 2, material"


class CustodyContract:
    """Inherit it and define the fixture ``connect``: each call gives a custodian on the same root.

    Every custodian that it gives sees the same place, as the processes of one server do.
    """

    @pytest.fixture
    def custodian(self, connect: Callable[[], Custodian]) -> Custodian:
        """A custodian with two accounts admitted and a third that it has never heard of."""
        custodian = connect()
        for account in (OURS, THEIRS):
            custodian.admit(account, custodian.enroll(account))
        return custodian

    # --- key material --------------------------------------------------------------------------------

    @given(plaintext=st.binary(max_size=300), aad=st.binary(max_size=300))
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_what_a_key_sealed_it_opens(self, custodian: Custodian, plaintext: bytes, aad: bytes) -> None:
        """A key that was generated seals and opens, however often it is fetched."""
        handle = custodian.generate(OURS, BINDING).handle

        sealed = custodian.cipher(OURS, handle, BINDING).seal(plaintext, aad)

        assert custodian.cipher(OURS, handle, BINDING).open(sealed, aad) == plaintext
        assert plaintext not in sealed or len(plaintext) < 8

    def test_a_key_is_as_durable_as_its_handle(
        self, connect: Callable[[], Custodian], custodian: Custodian
    ) -> None:
        """Another process that admits the stored account key opens the stored handle."""
        wrapped = custodian.enroll(OURS)
        custodian.admit(OURS, wrapped)
        handle = custodian.generate(OURS, BINDING).handle
        sealed = custodian.cipher(OURS, handle, BINDING).seal(b"text", b"aad")

        other = connect()
        other.admit(OURS, wrapped)

        assert other.cipher(OURS, handle, BINDING).open(sealed, b"aad") == b"text"

    def test_a_cipher_refuses_what_it_did_not_seal(self, custodian: Custodian) -> None:
        """Another key's ciphertext, another context, a changed or cut one: `InvalidCiphertext`."""
        first, second = (
            custodian.cipher(OURS, custodian.generate(OURS, BINDING).handle, BINDING) for _ in range(2)
        )
        sealed = first.seal(b"text", b"aad")

        for data, aad in [(sealed, b"other"), (sealed[:-1], b"aad"), (b"", b"aad"), (b"\0" + sealed, b"aad")]:
            with pytest.raises(InvalidCiphertext):
                first.open(data, aad)
        with pytest.raises(InvalidCiphertext):
            second.open(sealed, b"aad")

    def test_keys_and_their_ids_are_all_different(self, custodian: Custodian) -> None:
        """Each material is new, and its id is 64 hex digits that tell it from others."""
        generated = [custodian.generate(account, BINDING) for account in (OURS, THEIRS) for _ in range(8)]

        assert len({material.handle for material in generated}) == 16
        assert len({material.id for material in generated}) == 16
        assert all(re.fullmatch("[0-9a-f]{64}", material.id) for material in generated)
        assert not any(material.public_key for material in generated)

    def test_a_handle_opens_under_no_other_binding(self, custodian: Custodian) -> None:
        """A handle that was moved to another key, version or purpose is damage."""
        handle = custodian.generate(OURS, BINDING).handle

        for binding in (OTHER_BINDING, b"", BINDING + b"\0", BINDING[:-1]):
            with pytest.raises(DataDamaged):
                custodian.cipher(OURS, handle, binding)

    def test_a_handle_opens_under_no_other_account(self, custodian: Custodian) -> None:
        """A handle that was moved to another account is damage, also when both have the same key names."""
        handle = custodian.generate(OURS, BINDING).handle

        with pytest.raises(DataDamaged):
            custodian.cipher(THEIRS, handle, BINDING)

    def test_a_damaged_handle_is_told_with_a_cure(self, custodian: Custodian) -> None:
        """Every single character changed, the handle cut, emptied or replaced: `DataDamaged`, with a text."""
        handle = custodian.generate(OURS, BINDING).handle

        damaged = [
            "",
            ":",
            "not a handle",
            "\N{SNOWMAN}",
            handle[:-1],
            handle + "A",
            handle.partition(":")[2],
        ]
        damaged += [
            handle[:at] + ("A" if handle[at] != "A" else "B") + handle[at + 1 :] for at in range(len(handle))
        ]
        for text in damaged:
            with pytest.raises(DataDamaged, match="backup"):
                custodian.cipher(OURS, text, BINDING)

    def test_destroying_twice_succeeds_and_leaves_the_others(self, custodian: Custodian) -> None:
        """Erasing what is already gone is no error, and only what the handle names is erased."""
        kept, gone = (custodian.generate(OURS, BINDING).handle for _ in range(2))
        sealed = custodian.cipher(OURS, kept, BINDING).seal(b"text", b"")

        custodian.destroy(OURS, gone)
        custodian.destroy(OURS, gone)

        assert custodian.cipher(OURS, kept, BINDING).open(sealed, b"") == b"text"

    def test_a_handle_of_another_custodian_is_not_called_destroyed(self, custodian: Custodian) -> None:
        """Answering "erased" for material that lies elsewhere would leave it alive."""
        with pytest.raises(DataDamaged):
            custodian.destroy(OURS, "elsewhere:abc")

    # --- material between Regions --------------------------------------------------------------------

    @pytest.mark.parametrize("spec", ["SYMMETRIC_DEFAULT", "HMAC_384", "ECC_NIST_P256", "ML_KEM_768"])
    def test_material_is_sent_and_received(self, custodian: Custodian, spec: str) -> None:
        """What arrives is the same material, under a handle of its own that opens."""
        material = custodian.generate(OURS, BINDING, spec)
        here = custodian.transfer_identity

        message = custodian.send(OURS, material.handle, BINDING, spec, here, b"about")
        arrived = custodian.receive(OURS, OTHER_BINDING, spec, message, here, b"about")

        assert (arrived.id, arrived.public_key) == (material.id, material.public_key)
        again = custodian.send(OURS, arrived.handle, OTHER_BINDING, spec, here, b"about")
        assert custodian.receive(OURS, BINDING, spec, again, here, b"about").id == material.id
        with pytest.raises(DataDamaged):
            custodian.send(OURS, arrived.handle, BINDING, spec, here, b"about")

    def test_what_was_sent_as_something_else_is_not_received(self, custodian: Custodian) -> None:
        """Another label, another spec, a changed message: `InvalidCiphertext`, and nothing is kept."""
        material = custodian.generate(OURS, BINDING)
        here = custodian.transfer_identity
        message = custodian.send(OURS, material.handle, BINDING, "SYMMETRIC_DEFAULT", here, b"about")

        for changed, spec, about in [
            (message, "SYMMETRIC_DEFAULT", b"other"),
            (message, "HMAC_384", b"about"),
            (message[:-1], "SYMMETRIC_DEFAULT", b"about"),
            (b"", "SYMMETRIC_DEFAULT", b"about"),
        ]:
            with pytest.raises(InvalidCiphertext):
                custodian.receive(OURS, BINDING, spec, changed, here, about)

    def test_it_vouches_for_what_it_says(self, custodian: Custodian) -> None:
        """By its identity, for that statement and no other."""
        identity = TransferIdentity.from_text(custodian.transfer_identity)
        signature = custodian.vouch(b"statement")
        assert identity.said(b"statement", signature)
        assert not identity.said(b"another", signature)

    def test_a_recipient_or_sender_that_is_none_is_refused(self, custodian: Custodian) -> None:
        """A text that is no identity is a mistake of who configured it."""
        material = custodian.generate(OURS, BINDING)
        with pytest.raises(ConfigError):
            custodian.send(OURS, material.handle, BINDING, "SYMMETRIC_DEFAULT", "nobody", b"about")
        with pytest.raises(ConfigError):
            custodian.receive(OURS, BINDING, "SYMMETRIC_DEFAULT", b"message", "nobody", b"about")

    # --- keys of every spec --------------------------------------------------------------------------

    @pytest.mark.parametrize("spec", SIGNING)
    def test_a_key_pair_signs_what_its_public_key_verifies(self, custodian: Custodian, spec: str) -> None:
        """Each algorithm of each spec gives signatures that the public half of the same material accepts."""
        material = custodian.generate(OURS, BINDING, spec)
        key = custodian.key_pair(OURS, material.handle, BINDING, spec)
        public = PublicKey(spec, material.public_key)

        for algorithm in algorithms(spec, SIGN_VERIFY):
            kind, message = ("DIGEST", bytes(64)) if "_PH_" in algorithm else ("RAW", b"text")
            signature = key.sign(algorithm, kind, message)
            assert public.verify(algorithm, kind, message, signature)
            assert not public.verify(algorithm, kind, message[:-1] + b"?", signature)

    def test_an_rsa_key_decrypts_what_its_public_key_encrypted(self, custodian: Custodian) -> None:
        """RSA-OAEP there and back; what was changed or cut is `InvalidCiphertext`."""
        material = custodian.generate(OURS, BINDING, "RSA_2048")
        key = custodian.key_pair(OURS, material.handle, BINDING, "RSA_2048")

        for algorithm in algorithms("RSA_2048", ENCRYPT_DECRYPT):
            sealed = PublicKey("RSA_2048", material.public_key).encrypt(algorithm, b"text")
            assert key.decrypt(algorithm, sealed) == b"text"
            for wrong in (sealed[:-1], b"", bytes(256), sealed[:-1] + bytes([sealed[-1] ^ 1])):
                with pytest.raises(InvalidCiphertext):
                    key.decrypt(algorithm, wrong)

    @pytest.mark.parametrize("spec", [spec for spec in SPECS if KEY_AGREEMENT in SPECS[spec].usages])
    def test_two_keys_agree_on_one_secret(self, custodian: Custodian, spec: str) -> None:
        """ECDH gives both sides the same, and refuses what is no public key of that curve."""
        ours, theirs = (custodian.generate(account, BINDING, spec) for account in (OURS, THEIRS))
        key = custodian.key_pair(OURS, ours.handle, BINDING, spec)
        other = custodian.key_pair(THEIRS, theirs.handle, BINDING, spec)

        assert key.agree(theirs.public_key) == other.agree(ours.public_key)
        foreign = custodian.generate(OURS, BINDING, "ECC_SECG_P256K1").public_key
        for wrong in (b"", foreign, theirs.public_key[:-1] + bytes([theirs.public_key[-1] ^ 1])):
            with pytest.raises(InvalidRequest) as caught:
                key.agree(wrong)
            assert str(caught.value) == ""

    @pytest.mark.parametrize(
        "spec", [spec for spec in SPECS if ENCAPSULATE_DECAPSULATE in SPECS[spec].usages]
    )
    def test_a_secret_is_decapsulated(self, custodian: Custodian, spec: str) -> None:
        """ML-KEM gives the secret back, another for a changed ciphertext, and an error for a wrong length only."""
        material = custodian.generate(OURS, BINDING, spec)
        key = custodian.key_pair(OURS, material.handle, BINDING, spec)

        secret, ciphertext = PublicKey(spec, material.public_key).encapsulate()

        assert key.decapsulate(ciphertext) == secret
        assert len(secret) == 32
        changed = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
        assert key.decapsulate(changed) == key.decapsulate(changed) != secret
        with pytest.raises(InvalidCiphertext):
            key.decapsulate(ciphertext[:-1])

    @pytest.mark.parametrize("spec", HMAC_BYTES)
    def test_a_mac_key_makes_codes(self, custodian: Custodian, spec: str) -> None:
        """The same key and message give the same code, of full length; another key gives another."""
        handles = [custodian.generate(OURS, BINDING, spec).handle for _ in range(2)]
        key, other = (custodian.mac_key(OURS, handle, BINDING) for handle in handles)
        (algorithm,) = algorithms(spec, GENERATE_VERIFY_MAC)

        assert len(key.mac(algorithm, b"text")) == HMAC_BYTES[spec]
        assert key.mac(algorithm, b"text") == custodian.mac_key(OURS, handles[0], BINDING).mac(
            algorithm, b"text"
        )
        assert len({key.mac(algorithm, b"text"), key.mac(algorithm, b""), other.mac(algorithm, b"text")}) == 3

    def test_a_handle_opens_as_no_other_spec(self, custodian: Custodian) -> None:
        """Material of one spec is never used as another, whatever the handle is made to say."""
        specs = (SYMMETRIC, "HMAC_256", "HMAC_512", "ECC_NIST_P256", "ECC_NIST_EDWARDS25519")
        handles = {spec: custodian.generate(OURS, BINDING, spec).handle for spec in specs}
        disguised = [
            (spec, handles[spec].rpartition(":")[0] + ":" + handles[other].rpartition(":")[2])
            for spec in specs
            for other in specs
            if spec != other
        ]

        for spec, handle in [(s, handles[o]) for s in specs for o in specs if s != o] + disguised:
            with pytest.raises(DataDamaged):
                custodian.key_pair(OURS, handle, BINDING, spec)
        for handle in [handles[spec] for spec in specs if spec != SYMMETRIC]:
            with pytest.raises(DataDamaged):
                custodian.cipher(OURS, handle, BINDING)
        for handle in [handles[spec] for spec in specs if spec not in HMAC_BYTES]:
            with pytest.raises(DataDamaged):
                custodian.mac_key(OURS, handle, BINDING)
        for _, handle in disguised:
            for use in (custodian.cipher, custodian.mac_key):
                with pytest.raises(DataDamaged):
                    use(OURS, handle, BINDING)

    def test_a_key_pair_opens_under_no_other_binding_or_account(self, custodian: Custodian) -> None:
        """Handles of all specs are bound as those of symmetric keys are."""
        pair = custodian.generate(OURS, BINDING, "ECC_NIST_P256").handle
        mac = custodian.generate(OURS, BINDING, "HMAC_256").handle

        for account, binding in ((OURS, OTHER_BINDING), (THEIRS, BINDING)):
            with pytest.raises(DataDamaged):
                custodian.key_pair(account, pair, binding, "ECC_NIST_P256")
            with pytest.raises(DataDamaged):
                custodian.mac_key(account, mac, binding)

    # --- material from elsewhere ---------------------------------------------------------------------

    @pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_256"])
    def test_material_is_taken_in(self, custodian: Custodian, algorithm: str) -> None:
        """Material that was wrapped for a wrapping key works as it does elsewhere, and has one id each time."""
        material = bytes(range(32))
        taken = [self._take(custodian, "HMAC_256", algorithm, material) for _ in range(2)]

        code = custodian.mac_key(OURS, taken[0].handle, BINDING).mac("HMAC_SHA_256", b"text")

        assert code == hmac.digest(material, b"text", "sha256")
        assert taken[0].id == taken[1].id != custodian.generate(OURS, BINDING, "HMAC_256").id
        assert taken[0].id != self._take(custodian, SYMMETRIC, algorithm, material).id

    def test_a_private_key_is_taken_in(self, custodian: Custodian) -> None:
        """An asymmetric key arrives as PKCS #8, and what it says of its public half is true."""
        private, public = generate("ECC_NIST_P256")

        taken = self._take(custodian, "ECC_NIST_P256", "RSA_AES_KEY_WRAP_SHA_1", private)

        assert taken.public_key == public
        key = custodian.key_pair(OURS, taken.handle, BINDING, "ECC_NIST_P256")
        assert PublicKey("ECC_NIST_P256", public).verify(
            "ECDSA_SHA_256", "RAW", b"text", key.sign("ECDSA_SHA_256", "RAW", b"text")
        )

    def test_what_is_no_material_of_the_spec_is_refused(self, custodian: Custodian) -> None:
        """A wrong length, another kind of key, or bytes that are no key."""
        p256, _ = generate("ECC_NIST_P256")
        for spec, material in [
            (SYMMETRIC, bytes(31)),
            (SYMMETRIC, bytes(33)),
            ("HMAC_224", bytes(32)),
            ("HMAC_384", bytes(47)),
            ("ECC_NIST_P384", p256),
            ("RSA_2048", p256),
            ("ECC_NIST_P256", p256[:-1]),
            ("ECC_NIST_P256", bytes(32)),
        ]:
            with pytest.raises(InvalidCiphertext):
                self._take(custodian, spec, "RSA_AES_KEY_WRAP_SHA_256", material)

    def test_what_does_not_unwrap_is_refused(self, custodian: Custodian) -> None:
        """Wrapped for another key, changed, cut, or under another algorithm than said."""
        wrapping, other = (custodian.generate(OURS, OTHER_BINDING, "RSA_2048") for _ in range(2))
        hybrid, direct = "RSA_AES_KEY_WRAP_SHA_256", "RSAES_OAEP_SHA_256"
        data = wrap_for("RSA_2048", wrapping.public_key, hybrid, bytes(32))

        for handle, algorithm, wrong in [
            (other.handle, hybrid, data),
            (wrapping.handle, "RSA_AES_KEY_WRAP_SHA_1", data),
            (wrapping.handle, direct, data),
            (wrapping.handle, hybrid, data[:256]),
            (wrapping.handle, hybrid, data[:-1]),
            (wrapping.handle, hybrid, b""),
            (wrapping.handle, hybrid, data[:-1] + bytes([data[-1] ^ 1])),
        ]:
            with pytest.raises(InvalidCiphertext):
                custodian.take(OURS, BINDING, SYMMETRIC, Wrapped(wrong, algorithm, handle, OTHER_BINDING))

    def test_a_wrapping_key_that_is_none_is_damage(self, custodian: Custodian) -> None:
        """The wrapping key must be an RSA key of ours, under its own binding."""
        wrapping = custodian.generate(OURS, OTHER_BINDING, "RSA_2048")
        data = wrap_for("RSA_2048", wrapping.public_key, "RSAES_OAEP_SHA_256", bytes(32))

        for handle, binding in [
            (custodian.generate(OURS, OTHER_BINDING).handle, OTHER_BINDING),
            (wrapping.handle, BINDING),
            ("", OTHER_BINDING),
        ]:
            with pytest.raises(DataDamaged):
                custodian.take(OURS, BINDING, SYMMETRIC, Wrapped(data, "RSAES_OAEP_SHA_256", handle, binding))

    def _take(self, custodian: Custodian, spec: str, algorithm: str, material: bytes) -> Material:
        wrapping = custodian.generate(OURS, OTHER_BINDING, "RSA_2048")
        data = wrap_for("RSA_2048", wrapping.public_key, algorithm, material)
        return custodian.take(OURS, BINDING, spec, Wrapped(data, algorithm, wrapping.handle, OTHER_BINDING))

    # --- secrets of the service's own ----------------------------------------------------------------

    @given(secret=st.binary(max_size=200))
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_protected_secret_is_revealed(self, custodian: Custodian, secret: bytes) -> None:
        """The same account and binding give the secret back."""
        protected = custodian.protect(OURS, secret, BINDING)

        assert custodian.reveal(OURS, protected, BINDING) == secret
        assert protected.isascii()

    def test_a_protected_secret_is_revealed_nowhere_else(self, custodian: Custodian) -> None:
        """Another account, another binding or a changed text reveals nothing."""
        protected = custodian.protect(OURS, b"secret", BINDING)

        for account, text, binding in [
            (THEIRS, protected, BINDING),
            (OURS, protected, OTHER_BINDING),
            (OURS, protected[:-1], BINDING),
            (OURS, "", BINDING),
        ]:
            with pytest.raises(DataDamaged):
                custodian.reveal(account, text, binding)

    def test_the_same_secret_twice_looks_different(self, custodian: Custodian) -> None:
        """Nobody who reads the store can tell that two secrets are equal."""
        assert custodian.protect(OURS, b"secret", BINDING) != custodian.protect(OURS, b"secret", BINDING)

    def test_purposes_are_apart(self, custodian: Custodian) -> None:
        """Material is never revealed as a secret, nor a secret used as material; account keys neither."""
        handle = custodian.generate(OURS, BINDING).handle
        protected = custodian.protect(OURS, bytes(32), BINDING)
        wrapped = custodian.enroll(OURS)
        stored = (handle, protected, wrapped)

        for text in stored:
            for other in stored:  # under each other's name as well
                disguised = text.partition(":")[0] + ":" + other.rpartition(":")[2]
                if disguised != handle:
                    with pytest.raises(DataDamaged):
                        custodian.cipher(OURS, disguised, BINDING)
                if disguised != protected:
                    with pytest.raises(DataDamaged):
                        custodian.reveal(OURS, disguised, BINDING)
                if disguised != wrapped:
                    with pytest.raises(DataDamaged):
                        custodian.admit(OURS, disguised)

    # --- accounts ------------------------------------------------------------------------------------

    def test_an_account_is_known_once_it_is_admitted(self, connect: Callable[[], Custodian]) -> None:
        """Enrolling makes a key to be stored; only admitting puts it to use."""
        custodian = connect()
        wrapped = custodian.enroll(OURS)
        assert not custodian.knows(OURS)

        custodian.admit(OURS, wrapped)

        assert custodian.knows(OURS)
        assert not custodian.knows(STRANGER)

    def test_an_unknown_account_is_unavailable(self, custodian: Custodian) -> None:
        """Nothing happens for an account that was not admitted, and the text names it."""
        handle = custodian.generate(OURS, BINDING).handle
        protected = custodian.protect(OURS, b"secret", BINDING)

        attempts: list[Callable[[], object]] = [
            lambda: custodian.generate(STRANGER, BINDING),
            lambda: custodian.take(
                STRANGER, BINDING, SYMMETRIC, Wrapped(b"", "RSAES_OAEP_SHA_256", handle, BINDING)
            ),
            lambda: custodian.key_pair(STRANGER, handle, BINDING, "RSA_2048"),
            lambda: custodian.mac_key(STRANGER, handle, BINDING),
            lambda: custodian.cipher(STRANGER, handle, BINDING),
            lambda: custodian.destroy(STRANGER, handle),
            lambda: custodian.protect(STRANGER, b"secret", BINDING),
            lambda: custodian.reveal(STRANGER, protected, BINDING),
        ]
        for attempt in attempts:
            with pytest.raises(CustodyUnavailable, match=STRANGER):
                attempt()

    def test_an_account_key_that_does_not_open_is_damage(self, custodian: Custodian) -> None:
        """A changed, cut, or foreign account key is refused, and the one in use stays in use."""
        handle = custodian.generate(OURS, BINDING).handle
        wrapped, foreign = custodian.enroll(OURS), custodian.enroll(THEIRS)
        middle = len(wrapped) // 2
        changed = wrapped[:middle] + ("A" if wrapped[middle] != "A" else "B") + wrapped[middle + 1 :]

        for text in ("", "not a key", changed, wrapped[:-1], foreign):
            with pytest.raises(DataDamaged, match=OURS):
                custodian.admit(OURS, text)

        assert custodian.cipher(OURS, handle, BINDING).seal(b"text", b"")

    # --- everything ----------------------------------------------------------------------------------

    def test_nothing_stored_or_shown_holds_a_secret(self, custodian: Custodian) -> None:
        """Neither what is stored nor what is printed shows plaintext."""
        canary = b"canary-canary-canary-canary-0123"
        shown = [
            custodian.protect(OURS, canary, BINDING),
            custodian.generate(OURS, BINDING).handle,
            custodian.enroll(OURS),
            repr(custodian),
            str(custodian),
            repr(custodian.key_pair(OURS, custodian.generate(OURS, BINDING, P256).handle, BINDING, P256)),
            repr(custodian.mac_key(OURS, custodian.generate(OURS, BINDING, "HMAC_256").handle, BINDING)),
            repr(custodian.cipher(OURS, custodian.generate(OURS, BINDING).handle, BINDING)),
        ]

        for text in shown:
            assert "canary" not in text
            assert canary.hex() not in text

    def test_many_threads_may_use_it_at_once(self, custodian: Custodian) -> None:
        """Calls from many threads at the same moment get their own answers."""
        start = threading.Barrier(8)

        def life(number: int) -> set[tuple[bytes, bytes]]:
            account = (OURS, THEIRS)[number % 2]
            binding, text = b"key %d" % number, b"text %d" % number
            answers = set()
            start.wait()
            for _ in range(20):
                handle = custodian.generate(account, binding).handle
                cipher = custodian.cipher(account, handle, binding)
                opened = custodian.cipher(account, handle, binding).open(cipher.seal(text, b""), b"")
                secret = custodian.reveal(account, custodian.protect(account, text, binding), binding)
                answers.add((opened, secret))
            return answers

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(life, range(8))) == [{(b"text %d" % n,) * 2} for n in range(8)]
