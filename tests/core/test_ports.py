import inspect
from types import ModuleType

import pytest

from keystead.core import disk, ports

PORTS = [
    (module, name)
    for module in (ports, disk)
    for name, port in inspect.getmembers(module, inspect.isclass)
    if getattr(port, "_is_protocol", False) and port.__module__ == module.__name__
]


@pytest.mark.parametrize(("module", "name"), PORTS)
def test_every_method_of_a_port_makes_its_promise_in_words(module: ModuleType, name: str) -> None:
    """Whoever writes an adapter finds each method's promise, its arguments and its answer in the port."""
    port = getattr(module, name)
    members = {n: m for n, m in vars(port).items() if not n.startswith("_")}
    assert members
    for member, value in members.items():
        method = value.fget if isinstance(value, property) else value
        assert callable(method), f"{name}.{member}"
        assert method.__doc__, f"{name}.{member}"
        signature = inspect.signature(method)
        said = [p.annotation for n, p in signature.parameters.items() if n != "self"]
        assert inspect.Signature.empty not in [*said, signature.return_annotation], f"{name}.{member}"


def test_the_ports_are_the_ones_that_the_service_asks_for() -> None:
    """A new port is a decision: it gets contract tests before it gets a place here."""
    assert sorted(name for _, name in PORTS) == [
        "AuditLog",
        "Cipher",
        "Clock",
        "Custodian",
        "Disk",
        "ExternalKeys",
        "File",
        "IdentityTokens",
        "Journal",
        "KeyPair",
        "MacKey",
        "Records",
        "Store",
        "Transaction",
        "Usage",
        "View",
    ]


def test_what_may_write_may_also_look() -> None:
    """A transaction is a view, so an action that only reads takes either."""
    assert ports.View in ports.Transaction.__mro__
