from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import cryptography_vectors
import pytest

from keystead.crypto.halves import PrivateHalf
from keystead.crypto.keypair import generate, open_private
from keystead.crypto.publickey import PublicKey

Record = dict[str, str]


@cache
def _key_pair(spec: str) -> tuple[bytes, bytes]:
    return generate(spec)


@pytest.fixture(scope="session")
def der() -> Callable[[str], tuple[bytes, bytes]]:
    """Both halves, in DER, of the run's one key of a spec: RSA keys take long to make."""
    return _key_pair


@pytest.fixture(scope="session")
def pair() -> Callable[[str], tuple[PrivateHalf, PublicKey]]:
    """Both halves of the run's one key of a spec, ready to use."""

    def both(spec: str) -> tuple[PrivateHalf, PublicKey]:
        private, public = _key_pair(spec)
        return open_private(spec, private), PublicKey(spec, public)

    return both


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Iterator[Record]]:
    """The records of a NIST response file: a record is all since the last one, its section, and its last field.

    A record ends with an empty line. What stands before it for several (``n``, ``[mod = ...]``) is kept for all.
    """

    def read(path: str) -> Iterator[Record]:
        with (Path(cryptography_vectors.__file__).parent / path).open() as lines:
            record: Record = {}
            section = ""
            for line in [*lines, ""]:
                name, equals, value = (part.strip() for part in line.partition("="))
                if line.startswith("["):
                    section = line.strip(" \n[]")
                elif equals and not line.startswith("#"):
                    if name == "count" and name in record:  # files without empty lines begin each record so
                        yield record
                        record = {}
                    record[name] = value
                elif line.strip() == "FAIL":
                    record["FAIL"] = ""
                elif not line.strip() and record:
                    yield record | {"section": section}
                    record = {name: value for name, value in record.items() if name == "n"}

    return read
