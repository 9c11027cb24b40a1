"""The shape of the whole: which room may import which, and who alone may make an `OpenKey`.

Each rule is a function from source text to the lines that break it, so that it can be shown to bite.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ADAPTERS = ("keystead.custody", "keystead.store", "keystead.audit")
MAY_NAME_ADAPTERS = ("keystead.app", "keystead.testing", *ADAPTERS)


def modules(checkout: Path) -> Iterator[tuple[str, str]]:
    """Every module of the package: its dotted name and its source."""
    root = checkout / "src"
    for path in sorted((root / "keystead").rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path.read_text()


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def within(name: str, rooms: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the rooms or inside one."""
    return any(name == room or name.startswith(room + ".") for room in rooms)


def foreign_to_core(source: str) -> list[int]:
    """Lines that import what neither Python nor the core itself brings."""
    return [
        line
        for line, name in imports(source)
        if name.split(".")[0] not in sys.stdlib_module_names and not within(name, ("keystead.core",))
    ]


def naming_adapters(name: str, source: str) -> list[int]:
    """Lines of a module that import an adapter and may not: the reader may read the audit, and nothing else."""
    if within(name, MAY_NAME_ADAPTERS):
        return []
    lines = reaching_adapters(source)
    if within(name, ("keystead.reader",)):
        audit = [line for line, imported in imports(source) if within(imported, ("keystead.audit",))]
        return [line for line in lines if line not in audit]
    return lines


def reaching_adapters(source: str) -> list[int]:
    """Lines that import an adapter, which only the composition root may."""
    return [line for line, name in imports(source) if within(name, ADAPTERS)]


def making_open_keys(source: str) -> list[int]:
    """Lines that call `OpenKey`, or give it another name so that a call would not be seen."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            if name == "OpenKey":
                found.append(node.lineno)
        elif isinstance(node, ast.ImportFrom):
            found += [node.lineno for alias in node.names if alias.name == "OpenKey" and alias.asname]
        elif isinstance(node, ast.Assign):
            assigned = node.value
            if getattr(assigned, "id", getattr(assigned, "attr", "")) == "OpenKey":
                found.append(node.lineno)
    return found


def test_no_room_imports_upwards(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The floors hold: a room imports only what lies below it, and never a neighbour."""
    monkeypatch.chdir(checkout)

    code = lint_imports(cache_dir=None, no_cache=True)

    assert code == 0, capsys.readouterr().out


def test_the_core_imports_the_standard_library_only(checkout: Path) -> None:
    """The domain needs nothing installed, so it can be read, tested and rescued anywhere."""
    broken = [
        f"{name}:{line}"
        for name, source in modules(checkout)
        if within(name, ("keystead.core",))
        for line in foreign_to_core(source)
    ]
    assert broken == []


def test_only_the_composition_root_names_adapters(checkout: Path) -> None:
    """The service and the fronts know custody, store and audit as ports, never by name."""
    broken = [
        f"{name}:{line}" for name, source in modules(checkout) for line in naming_adapters(name, source)
    ]
    assert broken == []


def test_the_reader_may_read_the_audit_and_no_other_adapter() -> None:
    """It is a process without keys, so neither store nor custody is for it."""
    assert naming_adapters("keystead.reader.source", "from keystead.audit.follow import Follower") == []
    assert naming_adapters("keystead.reader.source", "from keystead.store import sqlite") == [1]
    assert naming_adapters("keystead.fronts.native", "from keystead.audit.follow import Follower") == [1]


def test_only_the_gate_makes_an_open_key(checkout: Path) -> None:
    """Holding an `OpenKey` proves that policy, state and audit were asked: only the gate makes one."""
    broken = [
        f"{name}:{line}"
        for name, source in modules(checkout)
        if name != "keystead.service.gate"
        for line in making_open_keys(source)
    ]
    assert broken == []


@pytest.mark.parametrize(
    "source",
    [
        "import cryptography",
        "from cryptography.hazmat.primitives import hashes",
        "from keystead.service import gate",
        "def later():\n    import msgspec",
    ],
)
def test_a_foreign_import_in_the_core_is_seen(source: str) -> None:
    """The scan finds third parties and upper rooms, also when imported late."""
    assert foreign_to_core(source) != []


@pytest.mark.parametrize(
    "source", ["import hashlib", "from keystead.core import key", "from typing import Any"]
)
def test_what_the_core_may_import_passes(source: str) -> None:
    """The scan lets the standard library and the core itself through."""
    assert foreign_to_core(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "from keystead.custody.software import Software",
        "import keystead.store.sqlite",
        "from keystead import audit",
    ],
)
def test_a_named_adapter_is_seen(source: str) -> None:
    """The scan finds an adapter in each form an import may take."""
    assert reaching_adapters(source) == [1]


@pytest.mark.parametrize(
    "source",
    [
        "OpenKey(key, custodian)",
        "openkey.OpenKey(key, custodian)",
        "from keystead.service.openkey import OpenKey as Key",
        "forge = OpenKey",
        "forge = openkey.OpenKey",
    ],
)
def test_a_forged_open_key_is_seen(source: str) -> None:
    """The scan finds a construction, and the renaming that would hide one."""
    assert making_open_keys(source) == [1]


@pytest.mark.parametrize(
    "source", ["from keystead.service.openkey import OpenKey", "def encrypt(key: OpenKey) -> bytes: ..."]
)
def test_using_an_open_key_is_fine(source: str) -> None:
    """Actions may name the type that they are handed."""
    assert making_open_keys(source) == []
