"""Checkpoints with the cosignatures of witnesses, beside a log: ``cosigned/<witness>``.

A witness cosigns a checkpoint every few seconds, the log signs a new one every second; so what a witness has cosigned
is kept apart from the newest. Each witness has a file of its own, a signed note with the log's signature and its.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from keystead.audit import checkpoint as checkpoints
from keystead.core.disk import Disk

FOLDER: Final = "cosigned"
TEMPORARY: Final = ".tmp"  # what the name of a file ends in while it is written


def notes(disk: Disk, directory: Path) -> Iterator[tuple[str, bytes]]:
    """The signed checkpoints of a log, the newest and those that are cosigned: their files and the notes."""
    for file in [
        f"{FOLDER}/{name}" for name in disk.names(directory / FOLDER) if not name.endswith(TEMPORARY)
    ] + [checkpoints.FILE]:
        try:
            yield file, disk.read(directory / file)
        except FileNotFoundError:
            continue


def keep(disk: Disk, directory: Path, name: str, note: bytes) -> None:
    """Keep a checkpoint that the witness of that name has cosigned."""
    folder = directory / FOLDER
    disk.mkdir(folder)
    put(disk, folder / name, note)
    disk.sync(directory)


def put(disk: Disk, path: Path, data: bytes) -> None:
    """Write a file so that there is at any moment the old one or the new one, and durably the new one at the end."""
    temporary = path.with_name(path.name + TEMPORARY)
    file = disk.create(temporary)
    try:
        file.write(data, 0)
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, path)
    disk.sync(path.parent)
