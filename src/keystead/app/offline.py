"""What can be done with the files of an installation and no service: checking and reading the audit logs."""

from collections.abc import Iterator
from pathlib import Path

from keystead.audit import reading
from keystead.audit.damage import Damaged
from keystead.audit.disk import LocalDisk
from keystead.audit.recovery import Progress
from keystead.audit.verify import Report, verify
from keystead.core.errors import AuditDamaged, ConfigError

_CHECKPOINT = "checkpoint"


def verify_audit(directory: Path, key: str, progress: Progress | None = None) -> Report:
    """Check one log or all logs in a directory; raises `AuditDamaged` naming the first damaged record.

    ``key`` is a verifier key, or the path of a file that holds one (``audit.vkey`` of the data directory).
    """
    _require(directory)
    return verify(directory, _key(key), progress=progress)


def read_audit(directory: Path, last: int | None = None) -> Iterator[bytes]:
    """The records of one log, or of all logs in a directory, one log after the other."""
    _require(directory)
    disk = LocalDisk()
    single = (directory / _CHECKPOINT).exists()
    for folder in [directory] if single else [directory / name for name in disk.names(directory)]:
        try:
            yield from reading.entries(disk, folder, last)
        except Damaged as damage:
            raise AuditDamaged(
                f"log {folder}, record {damage.index}: {damage.file}: {damage.problem}"
            ) from None


def _require(directory: Path) -> None:
    if not directory.is_dir():
        raise ConfigError(f"{directory} is not a directory: name the `audit` directory of an installation")


def _key(text: str) -> str:
    if "+" in text and "\n" not in text and not Path(text).is_file():
        return text
    try:
        return Path(text).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the key file {text} cannot be read ({error}): name it, or give the key itself"
        ) from None
