import base64

import pytest

from keystead.core.errors import SealError
from keystead.crypto.random import system_random
from keystead.custody.seal import LocalSecrets
from keystead.custody.seals import env

KEY = bytes(range(32))


def text(data: bytes) -> str:
    """As `openssl rand -base64 32` prints it."""
    return base64.b64encode(data).decode()


def test_a_slot_takes_the_key_that_is_set() -> None:
    """The default variable's 32 bytes are the key, and the slot keeps the variable's name only."""
    secrets = LocalSecrets({"KEYSTEAD_SEAL_KEY": text(KEY)})

    parameters, key = env.new(secrets, system_random, {})

    assert parameters == {"variable": "KEYSTEAD_SEAL_KEY"}
    assert key.reveal() == KEY
    assert env.key(parameters, secrets) == key


def test_the_slot_says_which_variable() -> None:
    """A platform's own name may be used; the default is then not looked at."""
    secrets = LocalSecrets({"KEYSTEAD_SEAL_KEY": text(bytes(reversed(KEY))), "VAULT_KEY_2": text(KEY)})

    parameters, key = env.new(secrets, system_random, {"variable": "VAULT_KEY_2"})

    assert parameters == {"variable": "VAULT_KEY_2"}
    assert key.reveal() == KEY


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "is not set"),
        (text(KEY[:31]), "does not hold exactly 32 bytes"),
        (text(KEY + b"\0"), "does not hold exactly 32 bytes"),
        (text(KEY[:16]), "does not hold exactly 32 bytes"),
        ("correct horse battery staple", "is not base64"),
        ("p\N{LATIN SMALL LETTER A WITH DIAERESIS}ss", "is not base64"),
        (KEY.hex(), "does not hold exactly 32 bytes"),
        (text(bytes(32)), "are not random"),
        (text(b"changeme" * 4), "are not random"),
        (text(bytes(range(15)) * 2 + b"\0\0"), "are not random"),
    ],
)
def test_what_is_no_key_is_refused(value: str, told: str) -> None:
    """A passphrase, another length, or a placeholder is refused with the command that makes a key."""
    with pytest.raises(
        SealError, match=rf"KEYSTEAD_SEAL_KEY.*{told}|bytes in KEYSTEAD_SEAL_KEY {told}"
    ) as caught:
        env.key({"variable": "KEYSTEAD_SEAL_KEY"}, LocalSecrets({"KEYSTEAD_SEAL_KEY": value}))

    assert "openssl rand -base64 32" in str(caught.value)
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize("name", ["", "1KEY", "A KEY", "A=B", "KEY\n", 7])
def test_a_variable_needs_a_name_that_can_be_set(name: str | int) -> None:
    """A name that no shell could set would make a slot that never opens."""
    with pytest.raises(SealError, match="variable"):
        env.new(LocalSecrets({str(name): text(KEY)}), system_random, {"variable": name})


def test_a_slot_without_its_variable_is_damaged() -> None:
    """A stored slot that lost its parameter says so."""
    with pytest.raises(SealError, match="'variable' is missing"):
        env.key({}, LocalSecrets({"KEYSTEAD_SEAL_KEY": text(KEY)}))


def test_random_keys_pass() -> None:
    """No key that was really drawn at random is taken for a placeholder."""
    for _ in range(1000):
        assert env.key({"variable": "K"}, LocalSecrets({"K": text(system_random(32))})).reveal()
