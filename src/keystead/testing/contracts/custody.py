"""What every custodian promises (`keystead.core.ports.Custodian`), as tests."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystead.core.errors import CustodyUnavailable, DataDamaged, InvalidCiphertext
from keystead.core.ports import Custodian

OURS, THEIRS, STRANGER = "111111111111", "222222222222", "333333333333"
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
        handle, _ = custodian.generate(OURS, BINDING)

        sealed = custodian.cipher(OURS, handle, BINDING).seal(plaintext, aad)

        assert custodian.cipher(OURS, handle, BINDING).open(sealed, aad) == plaintext
        assert plaintext not in sealed or len(plaintext) < 8

    def test_a_key_is_as_durable_as_its_handle(
        self, connect: Callable[[], Custodian], custodian: Custodian
    ) -> None:
        """Another process that admits the stored account key opens the stored handle."""
        wrapped = custodian.enroll(OURS)
        custodian.admit(OURS, wrapped)
        handle, _ = custodian.generate(OURS, BINDING)
        sealed = custodian.cipher(OURS, handle, BINDING).seal(b"text", b"aad")

        other = connect()
        other.admit(OURS, wrapped)

        assert other.cipher(OURS, handle, BINDING).open(sealed, b"aad") == b"text"

    def test_a_cipher_refuses_what_it_did_not_seal(self, custodian: Custodian) -> None:
        """Another key's ciphertext, another context, a changed or cut one: `InvalidCiphertext`."""
        first, second = (
            custodian.cipher(OURS, custodian.generate(OURS, BINDING)[0], BINDING) for _ in range(2)
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

        assert len({handle for handle, _ in generated}) == 16
        assert len({material_id for _, material_id in generated}) == 16
        assert all(re.fullmatch("[0-9a-f]{64}", material_id) for _, material_id in generated)

    def test_a_handle_opens_under_no_other_binding(self, custodian: Custodian) -> None:
        """A handle that was moved to another key, version or purpose is damage."""
        handle, _ = custodian.generate(OURS, BINDING)

        for binding in (OTHER_BINDING, b"", BINDING + b"\0", BINDING[:-1]):
            with pytest.raises(DataDamaged):
                custodian.cipher(OURS, handle, binding)

    def test_a_handle_opens_under_no_other_account(self, custodian: Custodian) -> None:
        """A handle that was moved to another account is damage, also when both have the same key names."""
        handle, _ = custodian.generate(OURS, BINDING)

        with pytest.raises(DataDamaged):
            custodian.cipher(THEIRS, handle, BINDING)

    def test_a_damaged_handle_is_told_with_a_cure(self, custodian: Custodian) -> None:
        """Every single character changed, the handle cut, emptied or replaced: `DataDamaged`, with a text."""
        handle, _ = custodian.generate(OURS, BINDING)

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
        (kept, _), (gone, _) = (custodian.generate(OURS, BINDING) for _ in range(2))
        sealed = custodian.cipher(OURS, kept, BINDING).seal(b"text", b"")

        custodian.destroy(OURS, gone)
        custodian.destroy(OURS, gone)

        assert custodian.cipher(OURS, kept, BINDING).open(sealed, b"") == b"text"

    def test_a_handle_of_another_custodian_is_not_called_destroyed(self, custodian: Custodian) -> None:
        """Answering "erased" for material that lies elsewhere would leave it alive."""
        with pytest.raises(DataDamaged):
            custodian.destroy(OURS, "elsewhere:abc")

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
        handle, _ = custodian.generate(OURS, BINDING)
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
        handle, _ = custodian.generate(OURS, BINDING)
        protected = custodian.protect(OURS, b"secret", BINDING)

        attempts: list[Callable[[], object]] = [
            lambda: custodian.generate(STRANGER, BINDING),
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
        handle, _ = custodian.generate(OURS, BINDING)
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
            custodian.generate(OURS, BINDING)[0],
            custodian.enroll(OURS),
            repr(custodian),
            str(custodian),
            repr(custodian.cipher(OURS, custodian.generate(OURS, BINDING)[0], BINDING)),
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
                handle, _ = custodian.generate(account, binding)
                cipher = custodian.cipher(account, handle, binding)
                opened = custodian.cipher(account, handle, binding).open(cipher.seal(text, b""), b"")
                secret = custodian.reveal(account, custodian.protect(account, text, binding), binding)
                answers.add((opened, secret))
            return answers

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(life, range(8))) == [{(b"text %d" % n,) * 2} for n in range(8)]
