"""How much room there is on the disks."""

import os
from pathlib import Path

from keystead.server.space import Space


def test_a_real_file_system_is_looked_at(tmp_path: Path) -> None:
    """What it says is what the operating system says, and a path that is not there is told."""
    gone = tmp_path / "gone"
    space = Space([tmp_path, gone])
    assert space.rooms() == {}
    space.look()
    here, there = space.rooms()[str(tmp_path)], space.rooms()[str(gone)]
    size = os.statvfs(tmp_path)
    assert here.free_bytes is not None
    assert 0 <= here.free_bytes <= size.f_blocks * size.f_frsize
    assert there == (None, "it cannot be looked at: No such file or directory")
