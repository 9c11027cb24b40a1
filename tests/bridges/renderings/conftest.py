"""The log of a day's work, for whoever renders it."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from bridges.renderings.samples import Log
from keystead.core.key import Origin
from keystead.core.names import KeyReference
from keystead.service.commands import kms as c
from keystead.testing.audit import NOTICE
from keystead.testing.installation import EVERYTHING
from keystead.testing.service import JOBS, ServiceBench, key_arn


def _import(bench: ServiceBench, key: KeyReference) -> None:
    got: Any = bench.do(c.GetParametersForImport(key, "RSAES_OAEP_SHA_256", "RSA_3072"))
    public = serialization.load_der_public_key(got.public_key)
    assert isinstance(public, RSAPublicKey)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    bench.do(c.ImportKeyMaterial(key, got.token, public.encrypt(bytes(range(32)), oaep)))


@pytest.fixture(scope="module")
def day() -> Log:
    """Keys are made, used, imported, disabled, destroyed and fought over; the log that it leaves."""
    bench = ServiceBench()
    bench.house.user("mallory")
    bench.house.user("bob", EVERYTHING)
    key = bench.key()
    sealed: Any = bench.do(c.Encrypt(key, b"plaintext"))
    bench.do(c.Decrypt(sealed.blob))
    for second in range(6):
        bench.house.clock.time += second
        bench.refusal(c.Decrypt(sealed.blob), who="mallory")
    bench.house.clock.time += 3600
    bench.refusal(c.Decrypt(sealed.blob), who="mallory")
    imported = bench.key(c.CreateKey(origin=Origin.EXTERNAL))
    _import(bench, imported)
    bench.do(c.DeleteImportedKeyMaterial(imported), who="bob")
    bench.do(c.PutKeyPolicy(key, bench.do(c.GetKeyPolicy(key)).text), who="bob")
    bench.refusal(c.PutKeyPolicy(key, "{}"), who="bob")
    bench.refusal(c.ScheduleKeyDeletion(key, 7), who="mallory")
    bench.do(c.DisableKey(key))
    bench.do(c.ScheduleKeyDeletion(key, 7))
    bench.house.clock.time += 8 * 86_400
    bench.do(c.DestroyKey(key), who=JOBS)
    return Log(_named(bench), key_arn(key))


def _named(bench: ServiceBench) -> list[tuple[str, bytes]]:
    log = bench.house.logs["w0"]
    return [
        (f"keystead-test/w0/{index}", data)
        for index, data in enumerate(log.entries(0, log.size))
        if not data.startswith(NOTICE)
    ]
