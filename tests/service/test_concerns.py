"""Whom an entry concerns, what each account sees of it, and how long it is kept."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.policy.actions import ACTIONS, Class
from keystead.core.retention import Kept
from keystead.service.concerns import aged, owners, seen
from keystead.service.entry import CRYPTOGRAPHIC, Entry, decode, encode

A, B, C = "111111111111", "222222222222", "333333333333"


def key(account: str) -> str:
    """A key's ARN."""
    return f"arn:aws:kms:eu-central-1:{account}:key/k"


@pytest.mark.parametrize(
    ("entry", "accounts"),
    [
        (Entry(account=A), [A]),
        (Entry(account=A, key=key(A)), [A]),
        (Entry(account=A, key=key(B)), [A, B]),
        (Entry(account=A, key=key(B), from_key=key(C)), [A, B, C]),
        (Entry(key=key(B)), [B]),
        (Entry(), []),
        (Entry(account="../../etc", key=key("12")), []),
        (Entry(account=A, key="not-an-arn"), [A]),
    ],
    ids=repr,
)
def test_whom_an_entry_concerns(entry: Entry, accounts: list[str]) -> None:
    """The caller's account and those of the keys, as far as they can be accounts at all."""
    assert [account for account, _ in seen(encode(entry))] == accounts


def test_what_concerns_one_is_seen_as_it_is() -> None:
    """To the last byte, also with members that a later version may have added."""
    data = b'{"account":"111111111111","later":1}'
    assert seen(data) == ((A, data),)


def test_of_a_shared_entry_each_sees_what_its_own_policies_said() -> None:
    """The rest is as it is for both."""
    statements = (f"identity-policy arn:aws:iam::{A}:user/u@0a2b58b122b2 #0", "key-policy @3f9a12bc34de #1")
    entry = Entry(
        account=A, key=key(B), matched=statements, request="r", missing="no statement of the key-policy"
    )
    views = {account: decode(data) for account, data in seen(encode(entry))}
    assert (views[A].matched, views[B].matched) == (statements[:1], statements[1:])
    assert (views[A].missing, views[B].missing) == ("", "no statement of the key-policy")
    assert {view.request for view in views.values()} == {"r"}


@st.composite
def _entries(draw: st.DrawFn) -> Entry:
    account = st.sampled_from(["", A, B])
    arns = st.sampled_from(["", key(A), key(B), key(C)])
    texts = st.sampled_from(
        [
            "key-policy @a #0",
            f"identity-policy arn:aws:iam::{A}:user/u@b #1",
            "grant @ g-1",
            f"guardrail {B}/g@c #0",
        ]
    )
    return Entry(
        account=draw(account),
        key=draw(arns),
        from_key=draw(arns),
        matched=tuple(draw(st.lists(texts, max_size=3))),
        subject=draw(st.sampled_from(["", key(B)])),
    )


@given(_entries())
def test_to_see_what_was_seen_changes_nothing(entry: Entry) -> None:
    """Whoever checks a shown entry sees the same in it."""
    for account, data in seen(encode(entry)):
        assert dict(seen(data))[account] == data


@pytest.mark.parametrize("data", [b"", b"notice: x", b'{"account":7}'])
def test_what_is_no_entry_concerns_nobody(data: bytes) -> None:
    """It is nobody's, and as old as can be."""
    assert seen(data) == ()
    assert aged(data) == (0, Kept.CHANGES, ())


def test_what_a_hold_can_name() -> None:
    """The accounts and the keys, each once; and when the entry was made."""
    entry = Entry(account=A, action="kms:ReEncrypt", key=key(B), from_key=key(A), time=5)
    assert aged(encode(entry)) == (5, Kept.USES, (A, B, key(B), key(A)))
    assert owners(entry) == (B, A)


def _kept() -> Iterator[tuple[str, Kept]]:
    classes = {Class.USE: Kept.USES, Class.READ: Kept.READS, Class.SESSION: Kept.SESSIONS}
    for action, which in ACTIONS.items():
        yield action, classes.get(which, Kept.CHANGES)
    for action in CRYPTOGRAPHIC:
        yield action, Kept.USES
    yield from (("", Kept.CHANGES), ("keystead:AuditStopped", Kept.CHANGES), ("kms:Unknown", Kept.CHANGES))


@pytest.mark.parametrize(("action", "kept"), sorted(_kept()))
def test_every_action_is_kept_as_something(action: str, kept: Kept) -> None:
    """Uses, reads and sessions by the class of their action; what is not known, as changes."""
    assert aged(encode(Entry(action=action)))[1] is kept
