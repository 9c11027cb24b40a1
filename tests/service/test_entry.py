"""What one record looks like on disk."""

import json
from uuid import NAMESPACE_URL, uuid5

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.service.entry import OK, Entry, decode, encode, event_id, moment, used, uses

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


USE = Entry(v=1, action="kms:Encrypt", outcome=OK, time=5, key="arn", version=3, principal="p", request="r")


def test_a_use_is_read_out_of_its_entry() -> None:
    """The key, the version, who and what; when, and by which request."""
    assert uses(encode(USE)) == ((("arn", 3, "p", "kms:Encrypt"), 5, "r"),)


@pytest.mark.parametrize(
    "entry",
    [
        msgspec.structs.replace(USE, outcome="KeyDisabled"),
        msgspec.structs.replace(USE, outcome="DryRun", dry_run=True),
        msgspec.structs.replace(USE, outcome=""),
        msgspec.structs.replace(USE, action="kms:DescribeKey"),
        msgspec.structs.replace(USE, action="kms:GetPublicKey"),
        msgspec.structs.replace(USE, action="kms:GenerateRandom"),
    ],
)
def test_what_is_no_successful_use_tells_of_none(entry: Entry) -> None:
    """Refusals, dry runs, looks and what needs no key."""
    assert uses(encode(entry)) == ()


def test_moving_a_ciphertext_is_a_use_of_both_keys() -> None:
    """Of each in its version; of one key's one version it is a single use."""
    moved = msgspec.structs.replace(USE, action="kms:ReEncrypt", from_key="other", from_version=2)
    assert [row for row, _, _ in uses(encode(moved))] == [
        ("arn", 3, "p", "kms:ReEncrypt"),
        ("other", 2, "p", "kms:ReEncrypt"),
    ]
    anew = msgspec.structs.replace(moved, from_key="arn")
    assert [row[1] for row, _, _ in uses(encode(anew))] == [3, 2]
    assert len(uses(encode(msgspec.structs.replace(anew, from_version=3)))) == 1


def test_an_entry_says_when_it_was_made() -> None:
    """In seconds; what is no entry of ours says nothing."""
    assert moment(encode(msgspec.structs.replace(USE, time=1_500_000))) == 1.5
    assert moment(b"notice: started") == 0.0
    assert uses(b"notice: started") == ()


def test_an_event_id_anybody_can_work_out() -> None:
    """It is the UUID (version 5) of a documented name."""
    assert event_id("keystead-12/w0/7") == str(uuid5(NAMESPACE_URL, "keystead:keystead-12/w0/7"))
    assert event_id("keystead-12/w0/7") == "e4ae5fb0-3b25-5ef9-bf13-a77e61f6184a"


@given(_ENTRIES, st.sampled_from(["kms:Encrypt", "kms:ReEncrypt", "kms:ListKeys"]), st.text(max_size=3))
def test_what_is_said_of_an_entry_is_what_is_read_out_of_it(entry: Entry, action: str, other: str) -> None:
    """Whoever has an entry at hand and whoever has only its bytes find the same uses."""
    entry = msgspec.structs.replace(entry, action=action, outcome=OK, from_key=other, from_version=1)
    assert used(entry) == uses(encode(entry))
