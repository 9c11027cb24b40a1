"""What ``tools/policy_speed.py`` measures are the decisions that it says."""

from importlib import util
from pathlib import Path
from types import ModuleType

import pytest

from keystead.core.policy import decide


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The tool as a module."""
    path = Path(__file__).parents[2] / "tools" / "policy_speed.py"
    found = util.spec_from_file_location("policy_speed", path)
    assert found is not None
    assert found.loader is not None
    module = util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_every_case_is_decided_as_it_should_be(tool: ModuleType) -> None:
    """The questions are answered the same the first time and once more, when something is remembered of them."""
    for name, case in tool.CASES.items():
        for question in case.questions[:500] * 2:
            assert decide(question).explain() == case.explanation, name


def test_the_tool_prints_a_line_for_each_case(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With two figures and how the case is decided."""
    cases = {name: case for name, case in tool.CASES.items() if len(case.questions) == 1}
    monkeypatch.setattr(tool, "CASES", cases)
    tool.main(loops=2, rounds=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(cases)
    for line, (name, case) in zip(lines, cases.items(), strict=True):
        assert line.endswith(f" us  {name}: {case.explanation}")
