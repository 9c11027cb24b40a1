"""What the seal was opened with is forgotten."""

import os
import subprocess
import sys

import pytest

from keystead.app.forgetting import ALWAYS, forget, secret_variables
from keystead.core.seal import SealSlot


def test_a_variable_is_overwritten_where_the_kernel_put_it() -> None:
    """The process's first environment does not show it any more; what else is in it stays."""
    script = (
        "import os, pathlib; from keystead.app.forgetting import forget;"
        "forget(['CANARY', 'NOT_THERE']);"
        "print(os.environ.get('CANARY'), pathlib.Path('/proc/self/environ').read_bytes())"
    )
    environment = {**os.environ, "CANARY": "fly-away", "OTHER": "stays-here"}
    told = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith("None ")
    assert "fly-away" not in told.stdout
    assert "OTHER=stays-here" in told.stdout


def test_a_variable_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started from here does not inherit it; one that is not there is no matter."""
    monkeypatch.setenv("CANARY", "fly-away")
    forget(["CANARY", "NOT_THERE"])
    assert "CANARY" not in os.environ
    told = subprocess.run(["env"], capture_output=True, text=True, check=True)  # noqa: S607 - the system's own
    assert "fly-away" not in told.stdout


def test_the_variables_are_those_of_the_slots_and_the_usual_ones() -> None:
    """A slot may have a variable of its own."""
    slots = [
        SealSlot(id="1", kind="env", parameters={"variable": "MINE", "root": "x"}, wrapped=""),
        SealSlot(id="2", kind="file", parameters={"path": "/x"}, wrapped=""),
    ]
    assert set(secret_variables(slots)) == {*ALWAYS, "MINE"}
