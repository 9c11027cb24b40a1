from pathlib import Path

import pytest

from keystead.core.errors import SealError
from keystead.crypto.random import system_random
from keystead.custody.seal import LocalSecrets
from keystead.custody.seals import file


def test_a_slot_comes_with_its_key_file(tmp_path: Path) -> None:
    """The file holds 32 bytes from the source, which are the slot's key, now and later."""
    path = str(tmp_path / "seal.key")

    parameters, key = file.new(LocalSecrets({}), lambda count: b"k" * count, {"path": path})

    assert parameters == {"path": path}
    assert key.reveal() == (tmp_path / "seal.key").read_bytes() == b"k" * 32
    assert file.key(parameters, LocalSecrets({})) == key


def test_a_moved_file_is_found_where_the_variable_says(tmp_path: Path) -> None:
    """After a restore to another place the slot opens without being changed."""
    parameters, key = file.new(LocalSecrets({}), system_random, {"path": str(tmp_path / "old")})
    (tmp_path / "old").rename(tmp_path / "new")

    assert file.key(parameters, LocalSecrets({"KEYSTEAD_SEAL_FILE": str(tmp_path / "new")})) == key
    with pytest.raises(SealError, match="old cannot be read"):
        file.key(parameters, LocalSecrets({"KEYSTEAD_SEAL_FILE": ""}))


@pytest.mark.parametrize(
    "options", [{}, {"path": 7}, {"path": ""}, {"path": "seal.key"}, {"path": "/tmp/\udcff"}]
)
def test_a_path_must_be_absolute_text(options: dict[str, str | int]) -> None:
    """A relative path would mean another file when the server starts elsewhere."""
    with pytest.raises(SealError, match="needs an absolute 'path'"):
        file.new(LocalSecrets({}), system_random, options)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A readable key file is as good as none; the text is the command to run."""
    parameters, _ = file.new(LocalSecrets({}), system_random, {"path": str(tmp_path / "seal.key")})
    (tmp_path / "seal.key").chmod(0o644)

    with pytest.raises(SealError, match="run `chmod 600 "):
        file.key(parameters, LocalSecrets({}))


@pytest.mark.parametrize("length", [0, 31, 33, 100_000])
def test_a_file_of_another_length_is_no_key(tmp_path: Path, length: int) -> None:
    """An empty, cut or foreign file is told from a missing one."""
    (tmp_path / "seal.key").touch(mode=0o600)
    (tmp_path / "seal.key").write_bytes(bytes(length))

    with pytest.raises(SealError, match=r"wrong secret: .*seal.key has not 32 bytes"):
        file.key({"path": str(tmp_path / "seal.key")}, LocalSecrets({}))


def test_a_slot_without_its_path_is_damaged() -> None:
    """A stored slot that lost its parameter says so."""
    with pytest.raises(SealError, match="'path' is missing"):
        file.key({"path": 1}, LocalSecrets({}))
