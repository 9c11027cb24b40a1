import copy
import json
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.traceback import Traceback

from keystead.crypto.secret import Secret

CANARY = b"canary-0123456789-canary-canary!"


@given(st.binary(max_size=64))
def test_it_gives_back_what_it_holds(value: bytes) -> None:
    """`reveal` is the way to the bytes."""
    assert Secret(value).reveal() == value


@pytest.mark.parametrize("render", [repr, str, "{}".format, "{!r}".format, "%s".__mod__, ascii])
def test_no_rendering_shows_it(render: object) -> None:
    """However a secret is turned into text, the text is the same for all secrets."""
    assert callable(render)
    assert render(Secret(CANARY)) == "<Secret>"
    assert f"{Secret(CANARY)}" == "<Secret>"
    assert repr([Secret(CANARY)]) == "[<Secret>]"


def test_its_length_does_not_show() -> None:
    """A passphrase's length is a hint, so nothing asks a secret for it."""
    assert repr(Secret(b"")) == repr(Secret(CANARY))
    with pytest.raises(TypeError):
        len(Secret(CANARY))  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_takes_it(protocol: int) -> None:
    """A secret crosses to another process by no pickle, whatever its protocol."""
    with pytest.raises(TypeError, match="Secret holds key material"):
        pickle.dumps(Secret(CANARY), protocol)


def test_no_copy_and_no_serialiser_takes_it() -> None:
    """Copies and JSON refuse a secret, alone or inside something."""
    for take in (copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError):
            take(Secret(CANARY))
    with pytest.raises(TypeError):
        copy.deepcopy({"root": Secret(CANARY)})
    assert not hasattr(Secret(CANARY), "__dict__")


def fail(secret: Secret) -> None:
    """Raise with a secret among the local variables."""
    held = [secret]
    raise RuntimeError(f"cannot use {held}")


def test_a_traceback_with_local_variables_does_not_show_it() -> None:
    """Error reporters that render local variables get nothing from a frame that holds a secret."""
    try:
        fail(Secret(CANARY))
    except RuntimeError as error:
        plain = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123 -- rich wants an open file
        with console.file:
            console.print(
                Traceback.from_exception(RuntimeError, error, error.__traceback__, show_locals=True)
            )
        rich = console.export_text()
    else:
        pytest.fail("nothing was raised")

    for rendered in (plain, rich):
        assert "<Secret>" in rendered
        assert "canary-" not in rendered


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_equality_is_that_of_the_bytes(one: bytes, other: bytes) -> None:
    """Two secrets are equal when their bytes are, and a secret never equals bare bytes."""
    assert (Secret(one) == Secret(other)) == (one == other)
    assert Secret(one) == Secret(one)
    assert Secret(one) != one


def test_it_has_no_hash() -> None:
    """A secret is no key of a dictionary, so no hash of it lies about."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(Secret(CANARY))
