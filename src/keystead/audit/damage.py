"""Words for what is wrong with a log: which record, which file, what."""

from typing import NamedTuple


class Damage(NamedTuple):
    """The first thing wrong with one log."""

    log: str  # the log's origin, or its directory when the origin cannot be believed
    record: int  # the index of the first record that is not what was written, or not provably so
    file: str  # relative to the log's directory
    problem: str  # one clause, to follow the file's name


class Damaged(Exception):
    """Found while reading one log; `recovery` and `verify` say what it means for them."""

    def __init__(self, index: int, file: str, problem: str) -> None:
        """Record ``index`` is not what was written, because of ``problem`` in ``file``."""
        super().__init__(f"{file}: {problem} (record {index})")
        self.index = index
        self.file = file
        self.problem = problem
