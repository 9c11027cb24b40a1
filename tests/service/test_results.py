"""What actions give back hides what is in it."""

import msgspec
import pytest

from keystead.service.results import Result
from keystead.service.results import identity as ri
from keystead.service.results import kms as r

CANARY = "canary-plaintext"
RESULTS = Result.__subclasses__()


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.__name__)
def test_a_result_shows_nothing_but_its_name(result: type[Result]) -> None:
    """Whatever the members hold, `repr` and `str` say the type only."""
    made = result(**{field.name: CANARY for field in msgspec.structs.fields(result)})
    assert repr(made) == str(made) == f"<{result.__name__}>"


def test_all_results_are_looked_at() -> None:
    """The list above is not empty by accident."""
    assert {r.Decrypted, r.DataKey, r.RandomBytes, ri.NewAccessKey} < set(RESULTS)
