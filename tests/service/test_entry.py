"""What one record looks like on disk."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.service.entry import OK, Entry, decode, encode

_ENTRIES = st.builds(
    Entry,
    **{
        field: st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
        for field in ("access_key", "account", "action", "detail", "key", "outcome", "statement", "subject")
    },
    dry_run=st.booleans(),
    epoch=st.integers(0, 2**53),
    time=st.integers(0, 2**53),
    v=st.just(1),
    version=st.integers(0, 2**32 - 1),
)


def test_members_stand_in_the_order_of_their_names() -> None:
    """The declared order is the alphabetical one, which is what makes the encoding canonical."""
    names = [field.name for field in msgspec.structs.fields(Entry)]
    assert names == sorted(names)


@given(_ENTRIES)
def test_an_entry_has_one_form_and_comes_back_from_it(entry: Entry) -> None:
    """Sorted members, no spaces, nothing empty, and decoding gives the same entry."""
    data = encode(entry)
    members = json.loads(data)
    assert json.dumps(members, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode() == data
    assert all(members.values())
    assert decode(data) == entry


def test_an_entry_that_is_known_to_the_byte() -> None:
    """The form that is documented, once written out."""
    entry = Entry(v=1, action="kms:Encrypt", outcome=OK, time=5, key="arn")
    assert encode(entry) == b'{"action":"kms:Encrypt","key":"arn","outcome":"Success","time":5,"v":1}'


def test_what_is_no_entry_is_refused() -> None:
    """Garbage raises, and is not half an entry."""
    for data in (b"", b"notice: started", b"[]", b'{"time":"now"}'):
        with pytest.raises(msgspec.DecodeError):
            decode(data)
