"""What the members of a multi-Region key share: the parts that no action reaches by itself."""

from dataclasses import replace

import pytest
from typing_extensions import override

from keystead.core.errors import DataDamaged
from keystead.core.key import Key, Version, version_binding
from keystead.crypto.secret import Secret
from keystead.custody.software import SoftwareCustodian
from keystead.service import members
from keystead.service.commands import kms as c
from keystead.testing.installation import ACCOUNT, REGION
from keystead.testing.service import ServiceBench


class Garbler(SoftwareCustodian):
    """A custodian whose messages are damaged on the way."""

    @override
    def send(
        self, account: str, handle: str, binding: bytes, spec: str, recipient: str, about: bytes
    ) -> bytes:
        """The message with its last bit turned."""
        message = super().send(account, handle, binding, spec, recipient, about)
        return message[:-1] + bytes([message[-1] ^ 1])


def test_material_that_does_not_arrive_is_damage_and_not_a_key() -> None:
    """A message that was changed on the way opens nowhere, and nothing is stored."""
    bench = ServiceBench()
    key = bench.key(c.CreateKey(multi_region=True))
    with bench.house.store.view() as view:
        stored: Key | None = view.key(REGION, key.name)
    assert stored is not None
    custodian = Garbler(Secret(bytes(32)), bench.house.random)
    custodian.admit(ACCOUNT, custodian.enroll(ACCOUNT))
    material = custodian.generate(ACCOUNT, version_binding(key.name, 1), stored.spec)
    with bench.house.store.view() as view:
        version: Version | None = view.version(REGION, key.name, 1)
    assert version is not None
    with pytest.raises(DataDamaged, match="did not arrive in us-east-1"):
        members.carry(custodian, stored, replace(version, handle=material.handle), "us-east-1")


def test_a_replica_whose_primary_is_not_kept_here_has_no_date() -> None:
    """The date of the next rotation is the primary's."""
    bench = ServiceBench()
    key = bench.key(c.CreateKey(multi_region=True))
    with bench.house.store.view() as view:
        stored = view.key(REGION, key.name)
        assert stored is not None
        elsewhere = replace(stored, members=("us-east-1", REGION))
        assert members.with_date(view, elsewhere) == elsewhere
