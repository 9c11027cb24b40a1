"""Our own form keeps the entry to the byte."""

import json

import msgspec
import pytest

from bridges.renderings.samples import EVENT, ORIGIN, USED, every_entry
from keystead.bridges.renderings import native
from keystead.service.entry import encode, event_id


def test_the_entrys_bytes_are_in_it_unchanged() -> None:
    """So its hash is the leaf that the log has."""
    for entry in [USED, *every_entry()]:
        data = encode(entry)
        rendered = native.render(data, EVENT)
        assert rendered.endswith(b'"entry":' + data + b"}")
        assert json.loads(rendered) == {
            "event": EVENT,
            "id": event_id(EVENT),
            "index": 567,
            "log": ORIGIN,
            "entry": json.loads(data),
        }


def test_members_that_this_version_does_not_know_stay() -> None:
    """An entry of a later version loses nothing on its way."""
    assert b'{"new":1,"v":1}' in native.render(b'{"new":1,"v":1}', EVENT)


def test_what_is_no_entry_is_not_passed_on() -> None:
    """It might be anything, and break the line."""
    with pytest.raises(msgspec.DecodeError):
        native.render(b"}{", EVENT)
