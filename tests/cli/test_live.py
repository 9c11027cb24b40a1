"""What the commands that read a whole account say of what they did not see."""

import pytest

from keystead.cli.live import left_out


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (1, "1 key is not yours to see, and was not compared."),
        (2, "2 keys are not yours to see, and were not compared."),
    ],
)
def test_keys_that_are_not_shown_are_counted(count: int, told: str) -> None:
    """One is told of as one."""
    assert left_out(count, "compared") == told
