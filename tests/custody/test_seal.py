import base64
import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_type_hints

import pytest

from keystead.core.errors import SealError
from keystead.core.seal import SealSlot
from keystead.crypto.keywrap import from_text, to_text, wrap
from keystead.crypto.random import system_random
from keystead.crypto.secret import Secret
from keystead.custody import seal
from keystead.custody.seal import LocalSecrets, create, kinds, new_root, open_any, root_check, warnings
from keystead.custody.seals import Kind

INSTANCE = "6f1c7e0a-installation"
ROOT = Secret(bytes(range(32)))
CHEAP = {"memory_kib": 32, "iterations": 1, "lanes": 1}
PASSPHRASE, SEAL_KEY = "correct horse battery", base64.b64encode(bytes(range(50, 82))).decode()


def environment(**variables: str) -> LocalSecrets:
    """Secrets from these variables, and nobody to ask."""
    return LocalSecrets(variables)


def passphrase_slot(passphrase: str = PASSPHRASE, root: Secret = ROOT) -> SealSlot:
    """A slot that is cheap to open."""
    secrets = environment(KEYSTEAD_PASSPHRASE=passphrase)
    return create("passphrase", root, secrets, system_random, instance=INSTANCE, **CHEAP)


def env_slot(root: Secret = ROOT) -> SealSlot:
    """A slot that opens by the variable KEYSTEAD_SEAL_KEY."""
    return create("env", root, environment(KEYSTEAD_SEAL_KEY=SEAL_KEY), system_random, instance=INSTANCE)


def file_slot(path: Path) -> SealSlot:
    """A slot with a new key file."""
    return create("file", ROOT, environment(), system_random, instance=INSTANCE, path=str(path))


def test_the_kinds_are_the_modules_and_each_is_whole() -> None:
    """Kinds are found by name, and every module provides what a kind must."""
    assert kinds() == ["env", "file", "passphrase"]
    for name in kinds():
        module = seal._kind(name)
        assert all(hasattr(module, wanted) for wanted in (*get_type_hints(Kind), "new", "key"))


def test_any_one_slot_opens_the_root(tmp_path: Path) -> None:
    """Each slot alone, and each secret among several slots, gives the same root."""
    path = tmp_path / "seal.key"
    slots = [passphrase_slot(), file_slot(path), env_slot()]
    with_passphrase = environment(KEYSTEAD_PASSPHRASE=PASSPHRASE)
    with_variable = environment(KEYSTEAD_SEAL_KEY=SEAL_KEY)

    assert open_any([slots[0]], with_passphrase, instance=INSTANCE) == ROOT
    assert open_any([slots[1]], environment(), instance=INSTANCE) == ROOT
    assert open_any([slots[2]], with_variable, instance=INSTANCE) == ROOT
    path.unlink()
    assert open_any(slots, with_passphrase, instance=INSTANCE) == ROOT
    assert open_any(slots, with_variable, instance=INSTANCE) == ROOT


def test_a_slot_survives_json(tmp_path: Path) -> None:
    """What the store keeps is plain JSON, and it opens after the way there and back."""
    for slot in (passphrase_slot(), env_slot(), file_slot(tmp_path / "seal.key")):
        stored = SealSlot(**json.loads(json.dumps(asdict(slot))))
        secrets = environment(KEYSTEAD_PASSPHRASE=PASSPHRASE, KEYSTEAD_SEAL_KEY=SEAL_KEY)

        assert open_any([stored], secrets, instance=INSTANCE) == ROOT


def test_a_slot_holds_no_secret(tmp_path: Path) -> None:
    """Neither the root nor the passphrase nor the file's key can be read from what is stored."""
    slots = [passphrase_slot(), env_slot(), file_slot(tmp_path / "seal.key")]
    key = (tmp_path / "seal.key").read_bytes()

    for slot in slots:
        stored = json.dumps(asdict(slot)).encode() + from_text(slot.wrapped)
        for secret in (ROOT.reveal(), PASSPHRASE.encode(), base64.b64decode(SEAL_KEY), key):
            assert secret not in stored
            assert secret.hex().encode() not in stored


def test_a_refusal_names_every_slot_and_its_cure(tmp_path: Path) -> None:
    """The one error that an operator sees at start says, slot by slot, what is wrong and what to do."""
    path = tmp_path / "seal.key"
    wrong, missing, gone, damaged = (
        passphrase_slot("another passphrase"),
        env_slot(),
        file_slot(path),
        passphrase_slot(),
    )
    path.unlink()
    damaged = replace(damaged, wrapped=damaged.wrapped[:-2] + "AA")
    unknown = replace(env_slot(), kind="tpm")

    with pytest.raises(SealError) as caught:
        open_any(
            [wrong, missing, gone, damaged, unknown],
            environment(KEYSTEAD_PASSPHRASE=PASSPHRASE),
            instance=INSTANCE,
        )

    lines = str(caught.value).splitlines()
    assert lines[0] == "no seal slot opened the root key:"
    told = {line.split()[1]: line for line in lines[1:]}
    assert "(passphrase): wrong secret: it does not open this slot; give the one" in told[wrong.id]
    assert (
        "(env): missing secret: KEYSTEAD_SEAL_KEY is not set; set it to 32 random bytes" in told[missing.id]
    )
    assert f"(file): missing secret: {path} cannot be read (No such file or directory)" in told[gone.id]
    assert (
        "(passphrase): damaged, or of another installation: its checksum is wrong; restore"
        in told[damaged.id]
    )
    assert (
        "(tpm): unknown kind: this version knows env, file, passphrase; use a newer one" in told[unknown.id]
    )
    assert PASSPHRASE not in str(caught.value)


def test_no_slots_at_all_is_an_error_with_a_cure() -> None:
    """An empty list means refuse."""
    with pytest.raises(SealError, match=r"no seal slot: restore the store from a backup"):
        open_any([], environment(KEYSTEAD_PASSPHRASE=PASSPHRASE), instance=INSTANCE)


def test_there_is_no_default_secret() -> None:
    """With nothing set, no kind makes a slot and none opens one."""
    for kind in kinds():
        with pytest.raises(SealError):
            create(kind, ROOT, environment(), system_random, instance=INSTANCE)
    for slot in (passphrase_slot(), env_slot()):
        with pytest.raises(SealError, match="missing secret"):
            open_any([slot], environment(), instance=INSTANCE)


Change = Callable[[SealSlot], SealSlot]


@pytest.mark.parametrize(
    "change",
    [
        lambda slot: replace(slot, id="0" * 16),
        lambda slot: replace(slot, parameters=slot.parameters | {"root": "0" * 32}),
        lambda slot: replace(slot, parameters=slot.parameters | {"extra": 1}),
        lambda slot: replace(slot, parameters=slot.parameters | {"iterations": 2}),
        lambda slot: replace(slot, parameters=slot.parameters | {"iterations": "1"}),
        lambda slot: replace(slot, wrapped="B" + slot.wrapped[1:]),
        lambda slot: replace(slot, wrapped=slot.wrapped[:-4]),
        lambda slot: replace(slot, wrapped=""),
    ],
)
def test_a_changed_slot_is_called_damaged(change: Change) -> None:
    """Whatever part of a slot was changed on the way, the cure is the backup and not another passphrase."""
    secrets = environment(KEYSTEAD_PASSPHRASE=PASSPHRASE)

    with pytest.raises(SealError, match=r"damaged.*checksum is wrong; restore the slot from a backup"):
        open_any([change(passphrase_slot())], secrets, instance=INSTANCE)


def test_a_slot_that_is_not_base64_is_called_damaged() -> None:
    """Text that decodes to nothing is damage as well."""
    with pytest.raises(SealError, match="damaged: the wrapped root is not base64url"):
        open_any(
            [replace(env_slot(), wrapped="%%%")], environment(KEYSTEAD_SEAL_KEY=SEAL_KEY), instance=INSTANCE
        )


def test_a_slot_of_another_installation_does_not_open() -> None:
    """The same secret set in two installations does not let one's slot into the other."""
    with pytest.raises(SealError, match="of another installation"):
        open_any([env_slot()], environment(KEYSTEAD_SEAL_KEY=SEAL_KEY), instance="another")


def forge(slot: SealSlot, parameters: dict[str, str | int], wrapped: bytes) -> SealSlot:
    """The slot with other parameters and the checksum that goes with them."""
    aad = seal._aad(INSTANCE, slot.id, slot.kind, parameters)
    return replace(slot, parameters=parameters, wrapped=to_text(wrapped + seal._checksum(aad, wrapped)))


def test_a_forged_checksum_does_not_make_a_changed_slot_open() -> None:
    """The checksum only chooses the message: authentication decides, and it covers the parameters."""
    slot = env_slot()
    forged = forge(slot, slot.parameters | {"variable": "OTHER"}, from_text(slot.wrapped)[:-4])

    with pytest.raises(SealError, match="wrong secret"):
        open_any([forged], environment(OTHER=SEAL_KEY), instance=INSTANCE)


def test_a_slot_that_holds_another_root_than_it_says_is_noticed() -> None:
    """Even a well-made slot must hold the root whose check value it carries."""
    slot = env_slot()
    parameters = slot.parameters | {"root": root_check(Secret(bytes(32)))}
    key = Secret(base64.b64decode(SEAL_KEY))
    wrapped = wrap(key, ROOT, seal._aad(INSTANCE, slot.id, slot.kind, parameters), system_random)

    with pytest.raises(SealError, match="another root key than it says"):
        open_any(
            [forge(slot, parameters, wrapped)], environment(KEYSTEAD_SEAL_KEY=SEAL_KEY), instance=INSTANCE
        )


def test_the_check_value_tells_roots_apart() -> None:
    """Equal for equal roots, different for different ones, and not the root."""
    assert root_check(ROOT) == root_check(Secret(ROOT.reveal())) == env_slot().parameters["root"]
    assert root_check(ROOT) != root_check(new_root(system_random))
    assert ROOT.reveal().hex().find(root_check(ROOT)) == -1


def test_a_new_root_is_drawn_from_the_source() -> None:
    """32 bytes, all of them the source's."""
    assert new_root(lambda count: b"r" * count) == Secret(b"r" * 32)


def test_nobody_is_asked_while_a_file_or_a_variable_will_do() -> None:
    """Slots that may ask come last, whatever their order in the store."""
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return PASSPHRASE

    slots = [passphrase_slot(), env_slot()]

    assert open_any(slots, LocalSecrets({"KEYSTEAD_SEAL_KEY": SEAL_KEY}, ask), instance=INSTANCE) == ROOT
    assert asked == []
    assert open_any(slots, LocalSecrets({}, ask), instance=INSTANCE) == ROOT
    assert asked == ["Passphrase: "]


def test_an_unknown_kind_or_option_is_refused() -> None:
    """Misspelt names are told what there is, and nothing is created."""
    with pytest.raises(SealError, match="no seal slot of kind 'tmp': use one of env, file, passphrase"):
        create("tmp", ROOT, environment(), system_random, instance=INSTANCE)
    with pytest.raises(SealError, match="no option pth: it has path"):
        create("file", ROOT, environment(), system_random, instance=INSTANCE, pth="/x")


def test_only_dangerous_slots_are_warned_about(tmp_path: Path) -> None:
    """A key file is warned about at every start, by the slot's name; other kinds, known or not, are quiet."""
    dangerous = file_slot(tmp_path / "seal.key")

    told = warnings([passphrase_slot(), env_slot(), dangerous, replace(env_slot(), kind="tpm")])

    assert len(told) == 1
    assert told[0].startswith(
        f"seal slot {dangerous.id}: the root key is sealed by a key file on this machine"
    )


# --- the files of this machine ------------------------------------------------------------------------------


def test_secrets_do_not_show() -> None:
    """The environment that holds the passphrase is not printed with its source."""
    assert PASSPHRASE not in repr(environment(KEYSTEAD_PASSPHRASE=PASSPHRASE))


def test_a_private_file_is_made_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, the bytes as given."""
    previous = os.umask(0)
    try:
        LocalSecrets({}).create_private(str(tmp_path / "key"), b"bytes")
    finally:
        os.umask(previous)

    assert (tmp_path / "key").read_bytes() == b"bytes"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_private_file_and_its_directory_are_on_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synced after its bytes are written, and its directory after that."""
    synced: list[tuple[str, int]] = []

    def fsync(descriptor: int) -> None:
        synced.append(
            (str(Path(f"/proc/self/fd/{descriptor}").readlink()), (tmp_path / "key").stat().st_size)
        )

    monkeypatch.setattr(os, "fsync", fsync)
    LocalSecrets({}).create_private(str(tmp_path / "key"), b"bytes")

    assert synced == [(str(tmp_path / "key"), 5), (str(tmp_path), 5)]


def test_a_private_file_replaces_nothing(tmp_path: Path) -> None:
    """A file that is there, or a link to nowhere, stays as it is: it may be the only key to something."""
    (tmp_path / "key").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    for name in ("key", "link"):
        with pytest.raises(SealError, match=r"exists.*choose another path"):
            LocalSecrets({}).create_private(str(tmp_path / name), b"new")
    assert (tmp_path / "key").read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_private_file_in_no_directory_is_told(tmp_path: Path) -> None:
    """The text names the path and the reason."""
    with pytest.raises(SealError, match=r"none/key cannot be created .No such file or directory"):
        LocalSecrets({}).create_private(str(tmp_path / "none" / "key"), b"new")


def test_a_disk_that_fails_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the bytes cannot be made durable, the file is taken away and the path can be tried again."""

    def fsync(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(SealError, match=r"cannot be written .No space left on device"):
            LocalSecrets({}).create_private(str(tmp_path / "key"), b"new")
    assert list(tmp_path.iterdir()) == []

    LocalSecrets({}).create_private(str(tmp_path / "key"), b"new")
    assert (tmp_path / "key").read_bytes() == b"new"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666, 0o610])
def test_a_private_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of group or others is too much, and the text is the command to run."""
    path = tmp_path / "key"
    path.write_bytes(b"bytes")
    path.chmod(mode)

    with pytest.raises(SealError, match=f"run `chmod 600 {path}`"):
        LocalSecrets({}).read_private(str(path))
    assert LocalSecrets({}).read(str(path)) == b"bytes"
    path.chmod(0o400)
    assert LocalSecrets({}).read_private(str(path)) == b"bytes"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A missing file and a directory give the path and the reason."""
    with pytest.raises(SealError, match=r"nothing cannot be read .No such file"):
        LocalSecrets({}).read(str(tmp_path / "nothing"))
    with pytest.raises(SealError, match=r"cannot be read .Is a directory"):
        LocalSecrets({}).read(str(tmp_path))


def test_an_endless_file_is_read_to_a_limit() -> None:
    """A path to a device does not fill the memory."""
    assert len(LocalSecrets({}).read("/dev/zero")) == seal.FILE_LIMIT
