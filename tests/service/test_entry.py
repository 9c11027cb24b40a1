"""What one record looks like on disk."""

import json
from uuid import NAMESPACE_URL, uuid5

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.service.entry import OK, Entry, begins, decode, encode, event_id, moment, of_request, used, uses

_ENTRIES = st.builds(
    Entry,
    **{
        field: st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
        for field in ("access_key", "account", "action", "detail", "key", "outcome", "principal", "statement")
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


ALICE = "arn:aws:iam::111122223333:user/alice"
USE = Entry(
    access_key="AKIA1",
    action="kms:Encrypt",
    key="arn",
    outcome=OK,
    principal=ALICE,
    region="eu-central-1",
    request="r",
    time=5,
    v=1,
    version=3,
)


def test_a_use_is_read_out_of_its_entry() -> None:
    """The key, the version, who by which access key, and what; when, by which request, in which Region."""
    row = ("arn", 3, ALICE, "AKIA1", "kms:Encrypt")
    assert uses(encode(USE)) == ((row, 5, "r", "eu-central-1"),)


@pytest.mark.parametrize(
    "entry",
    [
        msgspec.structs.replace(USE, outcome="KeyDisabled"),
        msgspec.structs.replace(USE, outcome="DryRun", dry_run=True),
        msgspec.structs.replace(USE, outcome="", stage="intent"),
        msgspec.structs.replace(USE, principal=""),
    ],
)
def test_what_has_not_succeeded_or_nobody_has_asked_tells_of_nothing(entry: Entry) -> None:
    """Refusals, dry runs, intents, and what the log or the installation says of itself."""
    assert uses(encode(entry)) == ()


@pytest.mark.parametrize(
    "action", ["kms:DescribeKey", "kms:GetPublicKey", "kms:GenerateRandom", "keystead:X"]
)
def test_what_uses_no_key_tells_only_of_its_caller(action: str) -> None:
    """Looks and what needs no key are uses of the access key."""
    entry = msgspec.structs.replace(USE, action=action)
    assert uses(encode(entry)) == ((("", 0, ALICE, "AKIA1", action), 5, "r", "eu-central-1"),)


@pytest.mark.parametrize(
    ("principal", "lasting"),
    [
        ("arn:aws:sts::111122223333:assumed-role/deploy/ci-7", "arn:aws:iam::111122223333:role/deploy"),
        ("arn:aws:sts::111122223333:federated-user/x", "arn:aws:sts::111122223333:federated-user/x"),
        (ALICE, ALICE),
        ("local:uid=0", "local:uid=0"),
        (":assumed-role/", "arn:aws:iam:::role/"),
    ],
)
def test_a_session_is_its_role_and_everybody_else_themselves(principal: str, lasting: str) -> None:
    """There is no end of sessions, so they have no rows of their own; their credentials have none either."""
    entry = msgspec.structs.replace(USE, principal=principal, access_key="ASIA1")
    assert [row for row, *_ in uses(encode(entry))] == [("arn", 3, lasting, "", "kms:Encrypt")]


def test_moving_a_ciphertext_is_a_use_of_both_keys() -> None:
    """Of each in its version, by one caller; of one key's one version it is a single use."""
    moved = msgspec.structs.replace(USE, action="kms:ReEncrypt", from_key="other", from_version=2)
    assert [row for row, *_ in uses(encode(moved))] == [
        ("arn", 3, ALICE, "AKIA1", "kms:ReEncrypt"),
        ("other", 2, ALICE, None, "kms:ReEncrypt"),
    ]
    anew = msgspec.structs.replace(moved, from_key="arn")
    assert [row[1] for row, *_ in uses(encode(anew))] == [3, 2]
    assert len(uses(encode(msgspec.structs.replace(anew, from_version=3)))) == 1


def test_an_entry_says_when_it_was_made() -> None:
    """In seconds; what is no entry of ours says nothing."""
    assert moment(encode(msgspec.structs.replace(USE, time=1_500_000))) == 1.5
    assert moment(b"notice: started") == 0.0
    assert uses(b"notice: started") == ()


def test_an_entry_says_which_request_it_is_of() -> None:
    """Of that one and no other, whatever else it names."""
    assert of_request(encode(USE), "r")
    assert not of_request(encode(USE), "AKIA1")
    assert not of_request(b"notice: r", "r")


@pytest.mark.parametrize(("stage", "first"), [("", True), ("intent", True), ("outcome", False)])
def test_the_outcome_of_a_change_is_never_the_first_entry(stage: str, *, first: bool) -> None:
    """A change has its intent before; everything else has one entry, and so have the notices of the log."""
    assert begins(encode(msgspec.structs.replace(USE, stage=stage))) is first
    assert begins(b"notice: started")


def test_an_event_id_anybody_can_work_out() -> None:
    """It is the UUID (version 5) of a documented name."""
    assert event_id("keystead-12/w0/7") == str(uuid5(NAMESPACE_URL, "keystead:keystead-12/w0/7"))
    assert event_id("keystead-12/w0/7") == "e4ae5fb0-3b25-5ef9-bf13-a77e61f6184a"


@given(_ENTRIES, st.sampled_from(["kms:Encrypt", "kms:ReEncrypt", "kms:ListKeys"]), st.text(max_size=3))
def test_what_is_said_of_an_entry_is_what_is_read_out_of_it(entry: Entry, action: str, other: str) -> None:
    """Whoever has an entry at hand and whoever has only its bytes find the same uses."""
    entry = msgspec.structs.replace(entry, action=action, outcome=OK, from_key=other, from_version=1)
    assert used(entry) == uses(encode(entry))
